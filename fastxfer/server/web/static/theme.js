// Light, dark, or as the system says: three states of one button.

const ORDER = ['auto', 'light', 'dark'];
const NAMES = { auto: 'automatic', light: 'light', dark: 'dark' };
const button = document.getElementById('theme');

function apply(choice) {
  if (choice === 'auto') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = choice;
  button.setAttribute('aria-label', `Colour theme: ${NAMES[choice]}`);
  button.title = `Colour theme: ${NAMES[choice]}`;
}

function remembered() {
  try {
    const choice = window.localStorage.getItem('theme');
    return ORDER.includes(choice) ? choice : 'auto';
  } catch {
    return 'auto';
  }
}

let current = remembered();
apply(current);

button.addEventListener('click', () => {
  current = ORDER[(ORDER.indexOf(current) + 1) % ORDER.length];
  apply(current);
  try {
    window.localStorage.setItem('theme', current);
  } catch {
    // A browser that keeps nothing still switches for this visit.
  }
});
