// The calls to the server. Paths are absolute in the tree and already percent-encoded.

export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

// The header tells the server that no browser dialog for the password is wanted.
const COMMON = { 'X-Requested-With': 'fastxfer', Accept: 'application/json' };

export function fileUrl(path, query = {}) {
  const text = new URLSearchParams(query).toString();
  return `files${path}${text ? `?${text}` : ''}`;
}

export function hrefPath(entry) {
  return entry.href.slice(entry.href.indexOf('/files/') + '/files'.length);
}

async function call(method, url, { headers = {}, body = null, signal = null } = {}) {
  let response;
  try {
    response = await fetch(url, { method, headers: { ...COMMON, ...headers }, body, signal, cache: 'no-store' });
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new ApiError(0, 'The server cannot be reached.');
  }
  const data = (response.headers.get('Content-Type') || '').startsWith('application/json') ? await response.json() : null;
  if (!response.ok) throw new ApiError(response.status, data?.message || `The server answered ${response.status}.`);
  return data;
}

export const session = () => call('GET', 'session');
export const signOut = () => call('DELETE', 'session');
export const signIn = (user, password) =>
  call('POST', 'session', { headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ user, password }) });

export const list = (path, signal) => call('GET', fileUrl(path === '/' ? '/' : `${path}/`), { signal });
export const search = (path, term, signal) => call('GET', fileUrl(path === '/' ? '/' : `${path}/`, { search: term }), { signal });
export const makeFolder = (path) => call('POST', fileUrl(path, { action: 'mkdir' }));
export const move = (path, to) => call('POST', `${fileUrl(path, { action: 'move' })}&to=${to}`);
export const received = (path) => call('GET', fileUrl(path, { upload: 'true' })).then((answer) => answer.offset);
export const remove = (path, recursive) => call('DELETE', fileUrl(path, recursive ? { recursive: 'true' } : {}));

// An upload shows its progress, which fetch cannot do for request bodies. Returns the request, to be aborted.
// `from` is how many bytes the server has already.
export function upload(path, file, { replace, from, onProgress, onDone, onFail }) {
  const request = new XMLHttpRequest();
  const query = { parents: 'true' };
  if (file.lastModified > 0) query.modified = new Date(file.lastModified).toISOString();
  request.open('PUT', fileUrl(path, query));
  for (const [name, value] of Object.entries(COMMON)) request.setRequestHeader(name, value);
  if (!replace) request.setRequestHeader('If-None-Match', '*');
  if (from) request.setRequestHeader('Content-Range', `bytes ${from}-${file.size - 1}/${file.size}`);
  request.responseType = 'json';
  request.upload.onprogress = (event) => onProgress(from + event.loaded);
  request.onload = () => {
    if (request.status >= 200 && request.status < 300) onDone(request.response);
    else onFail(new ApiError(request.status, request.response?.message || `The server answered ${request.status}.`));
  };
  request.onerror = () => onFail(new ApiError(0, 'The connection was lost.'));
  request.onabort = () => onFail(null);
  request.send(from ? file.slice(from) : file);
  return request;
}
