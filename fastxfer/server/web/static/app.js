// The page: who is here, which folder is open, and what the buttons and keys do.

import * as api from './api.js';
import { askAction, askName, confirm, dialogOpen, showHelp } from './dialogs.js';
import * as drop from './drop.js';
import { join, lastPart, parent, plural, readable, size, sorted } from './format.js';
import { say, tell } from './notices.js';
import * as table from './table.js';
import './theme.js';
import * as uploads from './uploads.js';

const $ = (id) => document.getElementById(id);
const state = {
  path: '/', entries: [], found: null, allowed: new Set(), column: 'name', descending: false, filter: '', loading: null,
};

// ---- Who is here

async function start() {
  try {
    welcome(await api.session());
  } catch (problem) {
    if (problem.status === 401) askPassword();
    else tell(problem.message, { bad: true });
  }
}

function welcome(session) {
  $('signin').hidden = true;
  $('browser').hidden = false;
  $('account').hidden = session.anonymous;
  $('signin-open').hidden = !session.anonymous;
  $('who').textContent = session.user;
  return open();
}

function askPassword(problem = '') {
  $('browser').hidden = true;
  $('account').hidden = true;
  $('signin-open').hidden = true;
  $('signin').hidden = false;
  $('signin-problem').textContent = problem;
  $('signin-problem').hidden = !problem;
  document.title = 'Sign in';
  $(problem ? 'signin-password' : 'signin-user').focus();
}

$('signin-form').addEventListener('submit', async (event) => {
  event.preventDefault();
  const button = event.target.querySelector('button[type=submit]');
  button.disabled = true;
  try {
    const session = await api.signIn($('signin-user').value, $('signin-password').value);
    $('signin-password').value = '';
    await welcome(session);
    $('files').focus({ preventScroll: true });
  } catch (problem) {
    askPassword(problem.status === 401 ? 'The name or the password is wrong.' : problem.message);
  } finally {
    button.disabled = false;
  }
});

$('signout').addEventListener('click', async () => {
  try {
    await api.signOut();
  } catch (problem) {
    tell(problem.message, { bad: true });
    return;
  }
  table.forgetPicks();
  window.location.hash = '';
  start();
});

$('signin-open').addEventListener('click', () => askPassword());

// ---- Which folder

function here() {
  const hash = window.location.hash;
  if (!hash.startsWith('#/')) return '/';
  return hash.slice(1).replace(/\/+$/, '') || '/';
}

function failed(problem) {
  if (problem.name === 'AbortError') return;
  if (problem.status === 401) askPassword('Please sign in again.');
  else tell(problem.message, { bad: true });
}

async function open({ focus = null } = {}) {
  state.loading?.abort();
  state.loading = new AbortController();
  const path = here();
  const moved = path !== state.path;
  if (moved) table.forgetPicks();
  $('files').setAttribute('aria-busy', 'true');
  try {
    const listing = await api.list(path, state.loading.signal);
    state.path = path;
    state.entries = listing.entries;
    state.allowed = new Set(listing.permissions);
    state.found = null;
    if (moved) $('search').value = state.filter = '';
    draw();
    if (focus !== null) table.focusRow(table.indexOfName(focus));
    if (moved) say(`${folderName()}, ${plural(state.entries.length, 'item', 'items')}`);
  } catch (problem) {
    if (problem.status === 404 && path !== '/') {
      tell('This folder does not exist any more.', { bad: true });
      window.location.hash = parent(path);
    } else {
      failed(problem);
    }
  } finally {
    $('files').removeAttribute('aria-busy');
  }
}

window.addEventListener('hashchange', () => {
  if (window.location.hash.startsWith('#/') || !window.location.hash) open();
});

function folderName() {
  return state.path === '/' ? 'Home' : readable(lastPart(state.path));
}

function shownEntries() {
  const wanted = state.filter.toLocaleLowerCase();
  const entries = state.found ?? state.entries.filter((entry) => entry.name.toLocaleLowerCase().includes(wanted));
  return sorted(entries, state.column, state.descending);
}

function draw() {
  const entries = shownEntries();
  const actions = new Set();
  if (state.allowed.has('read')) actions.add('download');
  if (state.allowed.has('rename')) actions.add('rename');
  if (state.allowed.has('delete')) actions.add('delete');
  table.show(entries, { actions, showFolder: state.found !== null });
  drawCrumbs();
  document.title = folderName();
  $('mkdir').hidden = !state.allowed.has('mkdir');
  $('upload').hidden = !state.allowed.has('write');
  $('table-title').textContent = state.found ? `Found below ${folderName()}` : `Contents of ${folderName()}`;
  $('pick-all').disabled = !entries.length;
  drawBlank(entries);
  const files = entries.filter((entry) => !entry.dir);
  const bytes = files.reduce((sum, entry) => sum + entry.size, 0);
  const folders = entries.length - files.length;
  $('summary').textContent = entries.length
    ? [folders && plural(folders, 'folder', 'folders'), files.length && `${plural(files.length, 'file', 'files')}, ${size(bytes)}`].filter(Boolean).join(' · ')
    : '';
}

function drawBlank(entries) {
  $('blank').hidden = entries.length > 0;
  $('files').classList.toggle('empty', !entries.length);
  if (state.found || state.filter) {
    $('blank-title').textContent = 'Nothing matches';
    $('blank-hint').textContent = state.found ? 'No name in this folder or below contains the text.' : 'Press Enter to search the folders below as well.';
  } else {
    $('blank-title').textContent = 'This folder is empty';
    $('blank-hint').textContent = state.allowed.has('write') ? 'Drop files here, or use Upload.' : '';
  }
}

function drawCrumbs() {
  const parts = state.path === '/' ? [] : state.path.slice(1).split('/');
  const items = ['Home', ...parts.map(readable)].map((name, index) => {
    const item = document.createElement('li');
    const link = document.createElement('a');
    link.textContent = name;
    link.href = `#/${parts.slice(0, index).join('/')}`;
    if (index === parts.length) link.setAttribute('aria-current', 'page');
    item.append(link);
    return item;
  });
  $('crumbs').replaceChildren(...items);
  $('crumbs').scrollLeft = $('crumbs').scrollWidth;
}

// ---- Sorting, filtering, searching

for (const button of document.querySelectorAll('[data-sort]')) {
  button.addEventListener('click', () => {
    const column = button.dataset.sort;
    state.descending = column === state.column ? !state.descending : column !== 'name';
    state.column = column;
    for (const head of document.querySelectorAll('th[aria-sort]')) head.setAttribute('aria-sort', 'none');
    button.closest('th').setAttribute('aria-sort', state.descending ? 'descending' : 'ascending');
    draw();
  });
}

$('search').addEventListener('input', () => {
  state.filter = $('search').value.trim();
  state.found = null;
  draw();
});

$('search-form').addEventListener('submit', async (event) => {
  event.preventDefault();
  const term = $('search').value.trim();
  if (!term) return;
  state.loading?.abort();
  state.loading = new AbortController();
  try {
    const result = await api.search(state.path, term, state.loading.signal);
    state.found = result.entries;
    draw();
    say(`${plural(result.entries.length, 'item', 'items')} found`);
    if (result.truncated) tell('There are more matches than can be shown. Make the text longer.');
  } catch (problem) {
    failed(problem);
  }
});

// ---- What is done to entries

async function act(action, entry) {
  if (action === 'download') return download(entry);
  if (action === 'rename') return rename(entry);
  if (action === 'delete') return remove([entry]);
  if (action === 'more') {
    const allowed = new Set(['download', 'rename', 'delete'].filter((name) => state.allowed.has(name === 'download' ? 'read' : name)));
    const choice = await askAction(entry.name, allowed);
    if (choice) await act(choice, entry);
  }
  return undefined;
}

function follow(url, name) {
  const link = document.createElement('a');
  link.href = url;
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
}

function download(entry) {
  const path = api.hrefPath(entry);
  if (entry.dir) follow(api.fileUrl(`${path}/`, { archive: 'zip' }), `${entry.name}.zip`);
  else follow(api.fileUrl(path), entry.name);
}

function downloadPicked() {
  const picked = table.picks();
  if (picked.length === 1 || state.found) return picked.forEach(download);
  const names = picked.map((entry) => `&name=${lastPart(api.hrefPath(entry))}`).join('');
  return follow(api.fileUrl(state.path === '/' ? '/' : `${state.path}/`, { archive: 'zip' }) + names, 'files.zip');
}

function nameProblem(name) {
  if (!name) return 'Please give a name.';
  if (name === '.' || name === '..' || /[/\u0000-\u001f\u007f]/.test(name)) return 'This name is not possible.';
  return '';
}

async function rename(entry) {
  const name = await askName({
    title: 'Rename', label: 'New name', value: entry.name, action: 'Rename', selectStem: !entry.dir, check: nameProblem,
  });
  if (name === null || name === entry.name) return;
  const path = api.hrefPath(entry);
  try {
    await api.move(path, join(parent(path), encodeURIComponent(name)));
    tell(`“${entry.name}” is now “${name}”`);
    await open({ focus: name });
  } catch (problem) {
    failed(problem);
  }
}

async function remove(entries) {
  const one = entries.length === 1 ? entries[0] : null;
  const folders = entries.some((entry) => entry.dir);
  const title = one ? `Delete “${one.name}”?` : `Delete ${plural(entries.length, 'item', 'items')}?`;
  const text = folders ? 'Everything inside goes with it. This cannot be undone.' : 'This cannot be undone.';
  if (!await confirm(title, text, 'Delete')) return;
  let gone = 0;
  for (const entry of entries) {
    try {
      await api.remove(api.hrefPath(entry), entry.dir);
      gone += 1;
    } catch (problem) {
      failed(problem);
      if (problem.status === 401) return;
    }
  }
  if (gone) tell(one ? `“${one.name}” deleted` : `${plural(gone, 'item', 'items')} deleted`);
  await open();
  $('files').focus({ preventScroll: true });
}

async function makeFolder() {
  const name = await askName({ title: 'New folder', label: 'Name', action: 'Create', check: nameProblem });
  if (name === null) return;
  try {
    await api.makeFolder(join(state.path, encodeURIComponent(name)));
    tell(`Folder “${name}” created`);
    await open({ focus: name });
  } catch (problem) {
    failed(problem);
  }
}

$('rows').addEventListener('click', (event) => {
  const entry = table.entryOf(event.target);
  if (!entry) return;
  const button = event.target.closest('button[data-action]');
  if (button) act(button.dataset.action, entry);
  else if (event.target.closest('input[type=checkbox]')) table.toggle(entry);
});
$('pick-all').addEventListener('change', () => table.pickAll($('pick-all').checked));
$('mkdir').addEventListener('click', makeFolder);
$('help-open').addEventListener('click', showHelp);
$('selection-download').addEventListener('click', downloadPicked);
$('selection-delete').addEventListener('click', () => remove(table.picks()));
$('selection-clear').addEventListener('click', () => table.pickAll(false));

table.whenPicked((picked) => {
  const bar = $('selection');
  bar.hidden = !picked.length;
  const all = shownEntries().length;
  $('pick-all').checked = picked.length > 0 && picked.length === all;
  $('pick-all').indeterminate = picked.length > 0 && picked.length < all;
  $('selection-count').textContent = `${picked.length.toLocaleString()} selected`;
  $('selection-download').hidden = !state.allowed.has('read');
  $('selection-delete').hidden = !state.allowed.has('delete');
});

// ---- Uploads

function place(path, file, folder) {
  const names = [...folder, file.name];
  return { file, name: names.join('/'), target: join(path, names.map(encodeURIComponent).join('/')) };
}

$('upload').addEventListener('click', () => $('upload-input').click());
$('upload-input').addEventListener('change', () => {
  uploads.add([...$('upload-input').files].map((file) => place(state.path, file, [])));
  $('upload-input').value = '';
});

drop.watch(
  () => (!$('browser').hidden && state.allowed.has('write') && !dialogOpen() ? folderName() : null),
  async (transfer) => {
    const path = state.path;
    try {
      const files = [];
      for await (const { file, folder } of drop.dropped(transfer)) files.push(place(path, file, folder));
      if (files.length) uploads.add(files);
      else tell('There are no files in what was dropped.');
    } catch {
      tell('A dropped item could not be read.', { bad: true });
    }
  },
);

let refresh = 0;
uploads.whenStored((target) => {
  if (target.startsWith(state.path === '/' ? '/' : `${state.path}/`)) {
    window.clearTimeout(refresh);
    refresh = window.setTimeout(() => { if (!state.found) open(); }, 300);
  }
});

// ---- Keys

const KEYS = {
  ArrowDown: () => table.focusRow(table.focusedIndex() + 1),
  ArrowUp: () => table.focusRow(Math.max(table.focusedIndex() - 1, 0)),
  Backspace: () => { if (state.path !== '/') window.location.hash = parent(state.path); },
  '/': () => $('search').focus(),
  '?': showHelp,
  n: () => { if (state.allowed.has('mkdir')) makeFolder(); },
  u: () => { if (state.allowed.has('write')) $('upload').click(); },
};
const ROW_KEYS = {
  ' ': (entry) => table.toggle(entry),
  F2: (entry) => { if (state.allowed.has('rename')) rename(entry); },
  Delete: (entry) => {
    const picked = table.picks();
    if (state.allowed.has('delete')) remove(picked.length ? picked : [entry]);
  },
};

document.addEventListener('keydown', (event) => {
  if ($('browser').hidden || dialogOpen() || event.altKey) return;
  const typing = event.target.matches('input:not([type=checkbox])');
  if (event.key === 'Escape') {
    $('search').value = state.filter = '';
    state.found = null;
    table.pickAll(false);
    draw();
    if (typing) $('files').focus({ preventScroll: true });
    return;
  }
  if (typing) {
    if (event.key !== 'ArrowDown') return;
  } else if ((event.ctrlKey || event.metaKey) && event.key === 'a') {
    event.preventDefault();
    table.pickAll(true);
    return;
  }
  if (event.ctrlKey || event.metaKey) return;
  const inRow = event.target.matches('a.name') ? table.entryOf(event.target) : null;
  const handler = (inRow && ROW_KEYS[event.key]) || KEYS[event.key];
  if (!handler) return;
  event.preventDefault();
  handler(inRow);
});

start();
