// Files dragged onto the page, whole folders included.

const zone = document.getElementById('drop');
const target = document.getElementById('drop-target');
let depth = 0;

function entryFile(entry) {
  return new Promise((resolve, reject) => { entry.file(resolve, reject); });
}

function entryChildren(reader) {
  return new Promise((resolve, reject) => { reader.readEntries(resolve, reject); });
}

async function* walk(entry, folder) {
  if (entry.isFile) {
    yield { file: await entryFile(entry), folder };
    return;
  }
  const reader = entry.createReader();
  const below = [...folder, entry.name];
  // Browsers hand out the children in portions; an empty one ends the list.
  for (let portion = await entryChildren(reader); portion.length; portion = await entryChildren(reader)) {
    for (const child of portion) yield* walk(child, below);
  }
}

export function carriesFiles(event) {
  return [...(event.dataTransfer?.types ?? [])].includes('Files');
}

// Yields { file, folder }: folder is the list of folder names the file lies in, empty for a file of its own.
export async function* dropped(transfer) {
  // The entries must all be taken before the first wait: the browser empties the list afterwards.
  const entries = [...transfer.items].filter((item) => item.kind === 'file').map((item) => item.webkitGetAsEntry?.() ?? item.getAsFile());
  for (const entry of entries) {
    if (entry instanceof File) yield { file: entry, folder: [] };
    else if (entry) yield* walk(entry, []);
  }
}

// `accepts()` gives the name of the folder to show, or null when nothing may be dropped now.
export function watch(accepts, onDrop) {
  const hide = () => {
    depth = 0;
    zone.hidden = true;
  };
  document.addEventListener('dragenter', (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    depth += 1;
    const name = accepts();
    if (name === null) return;
    target.textContent = name;
    zone.hidden = false;
  });
  document.addEventListener('dragover', (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = accepts() === null ? 'none' : 'copy';
  });
  document.addEventListener('dragleave', (event) => {
    if (!carriesFiles(event)) return;
    depth -= 1;
    if (depth <= 0) hide();
  });
  document.addEventListener('drop', (event) => {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    hide();
    if (accepts() !== null) onDrop(event.dataTransfer);
  });
}
