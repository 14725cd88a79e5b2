// Requests to the server: its key, its errors, its JSON.

const KEY = 'unclip-key';
/** The one route that answers without a key. */
const OPEN = '/v1/capabilities';

/** A refusal in the server's words. */
export class ApiError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/** The server did not answer, or stopped in the middle of an answer. */
export class ConnectionError extends Error {
  constructor() {
    super('The connection to the server was lost. This page waits until it is back.');
  }
}

let key = sessionStorage.getItem(KEY);
let keyRequired = false;
let askUser = async () => null;
let asking = null;

/** Says whether the server wants a key; `ask` asks the user, with the server's reason, and resolves to the key or to null. */
export function requireKey(required, ask) {
  keyRequired = required;
  askUser = ask;
}

/** Whether images have to be fetched with the key, because an `img` cannot send one. */
export const needsKey = () => keyRequired;

/** Asks for the key, once however many requests wait for it. */
async function ensureKey(reason) {
  asking ??= askUser(reason).finally(() => { asking = null; });
  const answer = await asking;
  if (answer === null) throw new ApiError('The server wants a key before it draws.', 401);
  key = answer;
  sessionStorage.setItem(KEY, answer);
}

/** The response where it is a success; an ApiError or a ConnectionError otherwise. */
export async function request(path, options = {}) {
  for (;;) {
    if (keyRequired && !key && path !== OPEN) await ensureKey(null);
    const sent = key;
    const headers = sent ? { ...options.headers, Authorization: `Bearer ${sent}` } : options.headers;
    const response = await answer(path, { ...options, headers });
    if (response.ok) return response;
    const error = await errorOf(response);
    if (response.status !== 401) throw error;
    if (sent === key) {
      keyRequired = true;
      key = null;
      await ensureKey(sent ? error.message : null);
    }
  }
}

export async function requestJson(path, options) {
  const response = await request(path, options);
  return parseJson(await readAll(response, 'text'));
}

/** An answer, and the words of its header that the model does not know, in which other letters than English ones are escaped. */
export async function requestJsonAndWords(path, options) {
  const response = await request(path, options);
  const words = response.headers.get('X-Unclip-Unknown-Words');
  const unescape = (_, code) => String.fromCodePoint(parseInt(code, 16));
  const unknownWords = words?.replace(/\\u\{([0-9a-f]{1,6})\}/g, unescape) ?? null;
  return { json: parseJson(await readAll(response, 'text')), unknownWords };
}

export const requestCapabilities = () => requestJson(OPEN);

export async function requestBlob(url) {
  return readAll(await request(localPath(url)), 'blob');
}

/** Seeds may be larger than the numbers of JavaScript, so they stay text. */
export function parseJson(text) {
  return JSON.parse(text, (name, value, context) =>
    name === 'seed' && typeof value === 'number' ? context?.source ?? String(value) : value);
}

/** A URL of the server as this page reaches it, which may be by another name of the same host. */
export function localPath(url) {
  const { pathname, search } = new URL(url, location.href);
  return pathname + search;
}

async function answer(path, options) {
  try {
    return await fetch(path, options);
  } catch (error) {
    throw lost(error);
  }
}

async function readAll(response, form) {
  try {
    return await response[form]();
  } catch (error) {
    throw lost(error);
  }
}

/** A failed fetch as a ConnectionError; who aborted it wants to see that. */
export function lost(error) {
  return error.name === 'AbortError' ? error : new ConnectionError();
}

async function errorOf(response) {
  const text = await response.text().catch(() => '');
  try {
    return new ApiError(JSON.parse(text).error.message, response.status);
  } catch {
    return new ApiError(`The server answered ${response.status} ${response.statusText}.`, response.status);
  }
}
