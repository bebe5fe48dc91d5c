// The list of entries: rows are made as they come into view, so that ten thousand of them stay quick.

import { hrefPath, fileUrl } from './api.js';
import { exactTime, kind, size, time } from './format.js';

const BATCH = 150;
const rows = document.getElementById('rows');
const tail = document.getElementById('tail');
const table = rows.closest('table');

let entries = [];
let made = 0;
let picked = new Set();
let options = { actions: new Set(), showFolder: false };
let onPick = () => {};

function icon(name) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('aria-hidden', 'true');
  const use = document.createElementNS('http://www.w3.org/2000/svg', 'use');
  use.setAttribute('href', `#i-${name}`);
  svg.append(use);
  return svg;
}

// Said aloud, since browsers forget what a table is where the style sheet lays it out differently.
const ROLES = { tr: 'row', td: 'cell', th: 'rowheader' };

function element(tag, className, ...content) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (ROLES[tag]) made.setAttribute('role', ROLES[tag]);
  made.append(...content);
  return made;
}

function actionButton(action, label, name) {
  const button = element('button', 'icon', icon(action));
  button.type = 'button';
  button.dataset.action = action;
  button.title = label;
  button.setAttribute('aria-label', `${label} ${name}`);
  return button;
}

function nameCell(entry) {
  const link = element('a', 'name', icon(kind(entry)), element('span', 'label', entry.name));
  link.lastElementChild.dir = 'auto';
  if (entry.dir) {
    link.href = `#${hrefPath(entry)}`;
    link.firstElementChild.classList.add('folder');
  } else if (options.actions.has('download')) {
    link.href = fileUrl(hrefPath(entry));
    link.download = entry.name;
  } else {
    link.tabIndex = 0;
  }
  const under = element('span', 'under', entry.dir ? 'Folder' : size(entry.size));
  if (entry.modified) under.append(` · ${time(entry.modified)}`);
  const cell = element('th', 'c-name', link, under);
  cell.scope = 'row';
  if (options.showFolder) {
    const where = element('span', 'where', entry.path.slice(0, entry.path.lastIndexOf('/')) || '/');
    cell.append(where);
  }
  return cell;
}

function row(entry, index) {
  const pick = document.createElement('input');
  pick.type = 'checkbox';
  pick.checked = picked.has(entry.path);
  pick.setAttribute('aria-label', `Select ${entry.name}`);
  const when = element('td', 'c-time');
  if (entry.modified) {
    const stamp = element('time', '', time(entry.modified));
    stamp.dateTime = entry.modified;
    stamp.title = exactTime(entry.modified);
    when.append(stamp);
  }
  const actions = element('td', 'c-act');
  const group = element('span', 'act');
  if (options.actions.has('download')) group.append(actionButton('download', entry.dir ? 'Download as ZIP' : 'Download', entry.name));
  if (options.actions.has('rename')) group.append(actionButton('rename', 'Rename', entry.name));
  if (options.actions.has('delete')) group.append(actionButton('delete', 'Delete', entry.name));
  const more = actionButton('more', 'Actions for', entry.name);
  more.classList.add('more');
  more.setAttribute('aria-haspopup', 'dialog');
  if (group.childElementCount) group.append(more);
  actions.append(group);
  const line = element(
    'tr', pick.checked ? 'picked' : '',
    element('td', 'c-pick', pick), nameCell(entry), element('td', 'c-size', entry.dir ? '–' : size(entry.size)), when, actions,
  );
  line.dataset.index = index;
  line.setAttribute('aria-rowindex', index + 2);
  return line;
}

function more() {
  const stop = Math.min(made + BATCH, entries.length);
  const batch = [];
  for (; made < stop; made += 1) batch.push(row(entries[made], made));
  rows.append(...batch);
}

new IntersectionObserver((seen) => {
  if (seen.some((item) => item.isIntersecting) && made < entries.length) more();
}, { rootMargin: '800px' }).observe(tail);

export function show(list, settings) {
  entries = list;
  options = settings;
  made = 0;
  const known = new Set(list.map((entry) => entry.path));
  picked = new Set([...picked].filter((path) => known.has(path)));
  rows.replaceChildren();
  table.setAttribute('aria-rowcount', list.length + 1);
  more();
  changed();
}

export function forgetPicks() {
  picked.clear();
}

function changed() {
  for (const line of rows.children) {
    const isPicked = picked.has(entries[line.dataset.index].path);
    line.classList.toggle('picked', isPicked);
    line.querySelector('input').checked = isPicked;
  }
  onPick(picks());
}

export function whenPicked(callback) {
  onPick = callback;
}

export function picks() {
  return entries.filter((entry) => picked.has(entry.path));
}

export function pickAll(on) {
  picked = new Set(on ? entries.map((entry) => entry.path) : []);
  changed();
}

export function toggle(entry) {
  if (!picked.delete(entry.path)) picked.add(entry.path);
  changed();
}

export function entryOf(node) {
  const line = node?.closest?.('tr[data-index]');
  return line ? entries[line.dataset.index] : null;
}

export function focusRow(index) {
  const wanted = Math.max(0, Math.min(index, entries.length - 1));
  while (made <= wanted && made < entries.length) more();
  const link = rows.children[wanted]?.querySelector('a.name');
  link?.focus();
  link?.scrollIntoView({ block: 'nearest' });
}

export function focusedIndex() {
  const line = document.activeElement?.closest?.('tr[data-index]');
  return line ? Number(line.dataset.index) : -1;
}

export function indexOfName(name) {
  return entries.findIndex((entry) => entry.name === name);
}
