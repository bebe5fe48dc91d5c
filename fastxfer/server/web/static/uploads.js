// The queue of uploads: a few at a time, each with its progress, to be cancelled and tried again.

import { received, upload } from './api.js';
import { askConflict } from './dialogs.js';
import { plural, size } from './format.js';
import { say } from './notices.js';

const AT_ONCE = 3;
const panel = document.getElementById('uploads');
const listed = document.getElementById('uploads-list');
const total = document.getElementById('uploads-total');
const title = document.getElementById('uploads-title');
const cancelAll = document.getElementById('uploads-cancel');

let items = [];
let standing = null; // the answer given for all name conflicts of this batch
let asking = Promise.resolve();
let onStored = () => {};

const busy = () => items.filter((item) => item.state === 'waiting' || item.state === 'running' || item.state === 'asking');

export function whenStored(callback) {
  onStored = callback;
}

// `files` are { file, name, target }: the target is the encoded path the file is to have.
export function add(files) {
  if (!busy().length) {
    items = [];
    standing = null;
    listed.replaceChildren();
  }
  for (const { file, name, target } of files) {
    const item = { file, name, target, state: 'waiting', loaded: 0, from: 0, replace: false, request: null };
    item.line = line(item);
    items.push(item);
    listed.append(item.line);
  }
  panel.hidden = false;
  next();
}

function line(item) {
  const made = document.createElement('li');
  const name = document.createElement('span');
  name.className = 'label';
  name.dir = 'auto';
  name.textContent = item.name;
  const note = document.createElement('span');
  note.className = 'note';
  const bar = document.createElement('progress');
  bar.max = Math.max(item.file.size, 1);
  bar.value = 0;
  bar.setAttribute('aria-label', `Upload of ${item.name}`);
  const button = document.createElement('button');
  button.type = 'button';
  button.className = 'icon';
  button.addEventListener('click', () => (item.state === 'failed' || item.state === 'cancelled' ? again(item) : cancel(item)));
  made.append(name, note, button, bar);
  item.parts = { note, bar, button };
  item.line = made;
  draw(item);
  return made;
}

function draw(item) {
  const { note, bar, button } = item.parts;
  const text = {
    waiting: 'Waiting',
    asking: 'Name is taken',
    running: `${size(item.loaded)} of ${size(item.file.size)}`,
    done: 'Done',
    skipped: 'Skipped',
    cancelled: 'Cancelled',
    failed: item.problem || 'Failed',
  }[item.state];
  note.textContent = text;
  item.line.className = item.state;
  bar.value = item.state === 'done' ? bar.max : item.loaded;
  const retry = item.state === 'failed' || item.state === 'cancelled';
  button.hidden = item.state === 'done' || item.state === 'skipped';
  button.setAttribute('aria-label', `${retry ? 'Try again' : 'Cancel'}: ${item.name}`);
  button.title = retry ? 'Try again' : 'Cancel';
  setIcon(button, retry ? 'retry' : 'close');
  drawTotal();
}

function setIcon(button, name) {
  if (button.dataset.icon === name) return;
  button.dataset.icon = name;
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('aria-hidden', 'true');
  const use = document.createElementNS('http://www.w3.org/2000/svg', 'use');
  use.setAttribute('href', `#i-${name}`);
  svg.append(use);
  button.replaceChildren(svg);
}

function drawTotal() {
  const counted = items.filter((item) => item.state !== 'cancelled' && item.state !== 'skipped');
  const all = counted.reduce((sum, item) => sum + item.file.size, 0);
  const moved = counted.reduce((sum, item) => sum + (item.state === 'done' ? item.file.size : item.loaded), 0);
  total.max = Math.max(all, 1);
  total.value = all ? moved : 1;
  const left = busy().length;
  const failed = items.filter((item) => item.state === 'failed').length;
  cancelAll.hidden = !left;
  total.hidden = !left;
  if (left) title.textContent = `Uploading ${plural(left, 'file', 'files')}`;
  else title.textContent = failed ? `${plural(failed, 'upload', 'uploads')} failed` : 'Uploads finished';
}

function next() {
  let room = AT_ONCE - items.filter((item) => item.state === 'running').length;
  for (const item of items) {
    if (room <= 0) break;
    if (item.state === 'waiting') {
      start(item);
      room -= 1;
    }
  }
}

function start(item) {
  item.state = 'running';
  item.loaded = item.from;
  item.request = upload(item.target, item.file, {
    replace: item.replace,
    from: item.from,
    onProgress: (loaded) => {
      item.loaded = Math.min(loaded, item.file.size);
      draw(item);
    },
    onDone: () => finish(item, 'done'),
    onFail: (problem) => failed(item, problem),
  });
  draw(item);
}

function failed(item, problem) {
  item.request = null;
  if (problem === null) return finish(item, 'cancelled');
  if (problem.status === 412 && !item.replace) return conflict(item);
  item.problem = problem.message;
  return finish(item, 'failed');
}

function conflict(item) {
  item.state = 'asking';
  item.loaded = 0;
  draw(item);
  next();
  // One question at a time, and none once the user has answered for all.
  asking = asking.then(async () => {
    if (item.state !== 'asking') return;
    let answer = standing;
    if (!answer) {
      const said = await askConflict(item.name, busy().length > 1);
      answer = said.answer;
      if (said.forAll) standing = answer;
    }
    if (item.state !== 'asking') return;
    if (answer === 'skip') return void finish(item, 'skipped');
    if (answer === 'both') item.target = numbered(item.target);
    else item.replace = true;
    item.state = 'waiting';
    draw(item);
    next();
  });
}

// "report.pdf" becomes "report (2).pdf", that one "report (3).pdf".
function numbered(target) {
  const slash = target.lastIndexOf('/') + 1;
  const name = target.slice(slash);
  const dot = name.lastIndexOf('.');
  const stem = dot > 0 ? name.slice(0, dot) : name;
  const ending = dot > 0 ? name.slice(dot) : '';
  const before = /^(.*)%20\((\d+)\)$/.exec(stem);
  const next = before ? `${before[1]}%20(${Number(before[2]) + 1})` : `${stem}%20(2)`;
  return target.slice(0, slash) + next + ending;
}

function finish(item, state) {
  item.state = state;
  draw(item);
  if (state === 'done') onStored(item.target);
  next();
  if (!busy().length) {
    const done = items.filter((each) => each.state === 'done').length;
    const bad = items.filter((each) => each.state === 'failed').length;
    say(`${plural(done, 'file', 'files')} uploaded${bad ? `, ${bad} failed` : ''}`);
  }
}

function cancel(item) {
  if (item.request) item.request.abort();
  else finish(item, 'cancelled');
}

// Goes on where the broken attempt has stopped, if the server has kept what came.
async function again(item) {
  item.state = 'waiting';
  const kept = item.loaded ? await received(item.target).catch(() => 0) : 0;
  // Where all of it has come the last byte is sent again; what is longer was another file.
  item.from = kept > item.file.size ? 0 : Math.min(kept, Math.max(item.file.size - 1, 0));
  item.loaded = item.from;
  draw(item);
  next();
}

cancelAll.addEventListener('click', () => {
  for (const item of busy()) if (item.state !== 'running') item.state = 'cancelled';
  for (const item of items) {
    if (item.request) item.request.abort();
    draw(item);
  }
});

document.getElementById('uploads-close').addEventListener('click', () => {
  panel.hidden = true;
});

window.addEventListener('beforeunload', (event) => {
  if (busy().length) event.preventDefault();
});
