// Questions to the user. Each returns a promise; the native dialog keeps the focus inside and gives it back.

const ask = document.getElementById('ask');
const parts = Object.fromEntries(
  ['title', 'text', 'field', 'label', 'input', 'problem', 'check', 'all', 'buttons'].map((name) => [name, document.getElementById(`ask-${name}`)]),
);
const sheet = document.getElementById('sheet');

function shown(dialog) {
  return new Promise((resolve) => {
    dialog.returnValue = '';
    dialog.addEventListener('close', () => resolve(dialog.returnValue), { once: true });
    dialog.showModal();
  });
}

function prepare({ title, text = '', label = '', value = '', buttons, check = false }) {
  parts.title.textContent = title;
  parts.text.textContent = text;
  parts.text.hidden = !text;
  parts.field.hidden = !label;
  parts.label.textContent = label;
  parts.input.value = value;
  parts.input.required = Boolean(label);
  parts.problem.hidden = true;
  parts.check.hidden = !check;
  parts.all.checked = false;
  parts.buttons.replaceChildren(...buttons.map(({ name, answer, style = 'quiet' }) => {
    const button = document.createElement('button');
    button.textContent = name;
    button.value = answer;
    button.className = style;
    button.formNoValidate = !answer;
    return button;
  }));
}

export async function confirm(title, text, action) {
  prepare({ title, text, buttons: [{ name: 'Cancel', answer: '' }, { name: action, answer: 'yes', style: 'primary danger' }] });
  return (await shown(ask)) === 'yes';
}

// Asks for a name; `check` returns what is wrong with it, or nothing. Null when cancelled.
export async function askName({ title, label, value = '', action, check, selectStem = false }) {
  prepare({ title, label, value, buttons: [{ name: 'Cancel', answer: '' }, { name: action, answer: 'yes', style: 'primary' }] });
  const submit = (event) => {
    const problem = event.submitter?.value === '' ? '' : check(parts.input.value.trim());
    parts.problem.textContent = problem || '';
    parts.problem.hidden = !problem;
    parts.input.toggleAttribute('aria-invalid', Boolean(problem));
    if (problem) event.preventDefault();
  };
  const implicit = (event) => {
    // Enter would press the first button, which is Cancel.
    if (event.key !== 'Enter') return;
    event.preventDefault();
    parts.buttons.lastElementChild.click();
  };
  const form = ask.querySelector('form');
  form.addEventListener('submit', submit);
  parts.input.addEventListener('keydown', implicit);
  const answer = shown(ask);
  parts.input.focus();
  const dot = selectStem ? value.lastIndexOf('.') : -1;
  parts.input.setSelectionRange(0, dot > 0 ? dot : value.length);
  const said = await answer;
  form.removeEventListener('submit', submit);
  parts.input.removeEventListener('keydown', implicit);
  return said === 'yes' ? parts.input.value.trim() : null;
}

// A name is taken: 'replace', 'both' or 'skip' (closing the dialog skips), and whether for all others too.
export async function askConflict(name, more) {
  prepare({
    title: 'Replace the file?',
    text: `“${name}” is already in this folder.`,
    check: more,
    buttons: [
      { name: 'Skip', answer: 'skip' },
      { name: 'Keep both', answer: 'both' },
      { name: 'Replace', answer: 'replace', style: 'primary' },
    ],
  });
  const answer = (await shown(ask)) || 'skip';
  return { answer, forAll: parts.all.checked };
}

export function askAction(name, allowed) {
  document.getElementById('sheet-title').textContent = name;
  for (const button of sheet.querySelectorAll('button[value]')) {
    button.hidden = button.value !== '' && !allowed.has(button.value);
  }
  return shown(sheet);
}

export function showHelp() {
  return shown(document.getElementById('help'));
}

export function dialogOpen() {
  return document.querySelector('dialog[open]') !== null;
}

// A press on the backdrop closes; presses inside the form do not reach the dialog element itself.
for (const dialog of document.querySelectorAll('dialog')) {
  dialog.addEventListener('click', (event) => {
    if (event.target === dialog) dialog.close('');
  });
}
