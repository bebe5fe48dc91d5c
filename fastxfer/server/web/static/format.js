// Sizes, dates, kinds and names as people read them.

const UNITS = ['B', 'KB', 'MB', 'GB', 'TB', 'PB'];
const compare = new Intl.Collator(undefined, { numeric: true, sensitivity: 'base' }).compare;
const today = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const thisYear = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit' });
const older = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short', year: 'numeric' });
const exact = new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'medium' });

const KINDS = {
  image: 'png jpg jpeg gif webp svg bmp tif tiff heic avif ico psd',
  media: 'mp4 mkv mov avi webm mp3 ogg oga flac wav m4a m4v aac opus',
  archive: 'zip tar gz tgz bz2 xz zst 7z rar iso deb rpm whl jar',
  code: 'py pyx js ts c h cc cpp hpp rs go java rb php sh sql css html htm xml json toml yaml yml ini conf',
  text: 'txt md rst log csv tsv pdf doc docx odt rtf tex xls xlsx ods ppt pptx odp epub',
};
const KIND_OF = new Map(Object.entries(KINDS).flatMap(([kind, list]) => list.split(' ').map((ending) => [ending, kind])));

export function size(bytes) {
  let unit = 0;
  let value = bytes;
  while (value >= 1000 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  const digits = unit === 0 || value >= 100 ? 0 : 1;
  return `${value.toFixed(digits)} ${UNITS[unit]}`;
}

export function time(iso) {
  const then = new Date(iso);
  const now = new Date();
  if (then.toDateString() === now.toDateString()) return today.format(then);
  return (then.getFullYear() === now.getFullYear() ? thisYear : older).format(then);
}

export function exactTime(iso) {
  return exact.format(new Date(iso));
}

export function kind(entry) {
  if (entry.dir) return 'folder';
  const dot = entry.name.lastIndexOf('.');
  return (dot > 0 && KIND_OF.get(entry.name.slice(dot + 1).toLowerCase())) || 'file';
}

export function plural(count, one, many) {
  return `${count.toLocaleString()} ${count === 1 ? one : many}`;
}

// Folders stay before files whichever column sorts, in whichever direction.
export function sorted(entries, column, descending) {
  const sign = descending ? -1 : 1;
  const by = {
    name: (a, b) => compare(a.name, b.name),
    size: (a, b) => a.size - b.size || compare(a.name, b.name),
    modified: (a, b) => (a.modified < b.modified ? -1 : a.modified > b.modified ? 1 : compare(a.name, b.name)),
  }[column];
  return [...entries].sort((a, b) => Number(b.dir) - Number(a.dir) || sign * by(a, b));
}

// Paths stay percent-encoded everywhere but on the screen: names that are no valid Unicode survive that way.
export function readable(encoded) {
  try {
    return decodeURIComponent(encoded);
  } catch {
    return encoded;
  }
}

export function join(folder, encodedName) {
  return folder === '/' ? `/${encodedName}` : `${folder}/${encodedName}`;
}

export function parent(path) {
  return path.slice(0, path.lastIndexOf('/')) || '/';
}

export function lastPart(path) {
  return path.slice(path.lastIndexOf('/') + 1);
}
