// What the page says: short notices on the screen, the same words for screen readers.

const toasts = document.getElementById('toasts');
const live = document.getElementById('live');
const alert = document.getElementById('alert');
const SHOWN_FOR = 6000;

function announce(region, text) {
  // The same text twice in a row would not be read out again without the change in between.
  region.textContent = '';
  window.setTimeout(() => { region.textContent = text; }, 50);
}

export function say(text) {
  announce(live, text);
}

export function tell(text, { bad = false } = {}) {
  announce(bad ? alert : live, text);
  const toast = document.createElement('p');
  toast.className = bad ? 'toast bad' : 'toast';
  toast.textContent = text;
  toasts.append(toast);
  while (toasts.childElementCount > 4) toasts.firstElementChild.remove();
  window.setTimeout(() => toast.remove(), SHOWN_FOR);
}
