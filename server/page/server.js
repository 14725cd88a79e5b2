// The state of the server: what it can do, whether it is ready, and its key.

import { ApiError, ConnectionError, requestCapabilities, requireKey } from './api.js';
import { byId, wait } from './dom.js';
import { clearErrors, showError } from './messages.js';

const BETWEEN_POLLS = 1500;

const STATES = { loading: 'Loading the model', lost: 'No connection', ready: 'Ready' };

let state = null;
let capabilities = null;
let watching = false;
let onCapabilities = () => {};
let onFirstReady = () => {};

export const getCapabilities = () => capabilities;

export const isReady = () => capabilities?.ready === true;

/** `listeners.capabilities` hears what the server can do, `listeners.ready` that it is ready for the first time. */
export function startServer(listeners) {
  onCapabilities = listeners.capabilities;
  onFirstReady = listeners.ready;
  byId('key-cancel').addEventListener('click', () => byId('key-dialog').close());
  watchServer();
}

/** Asks the server until it is ready. */
async function watchServer() {
  if (watching) return;
  watching = true;
  while (!await isServerReady()) await wait(BETWEEN_POLLS);
  watching = false;
}

/** An error of a request; where the connection or the model is gone, the server is watched until they are back. */
export function showRequestError(error) {
  const isLost = error instanceof ConnectionError;
  showError(error, isLost ? 'connection' : '');
  if (isLost) showState('lost');
  if (isLost || error.status === 503) watchServer();
}

/** Says whether the server is there: in the corner always, and in a message where it is lost or loads its model. */
export function showState(name) {
  byId('server-state').textContent = STATES[name];
  byId('server-state').dataset.state = name;
  byId('banner').hidden = name !== 'loading';
  if (name !== 'lost') clearErrors('connection');
  else if (state !== 'lost') showError(new ConnectionError(), 'connection');
  state = name;
}

async function isServerReady() {
  try {
    const isFirst = !isReady();
    capabilities = await requestCapabilities();
    requireKey(capabilities.key_required, askKey);
    showState(capabilities.ready ? 'ready' : 'loading');
    onCapabilities(capabilities);
    if (capabilities.ready && isFirst) onFirstReady();
    return capabilities.ready;
  } catch (error) {
    if (!(error instanceof ConnectionError || error instanceof ApiError)) throw error;
    showState(error.status === 503 ? 'loading' : 'lost');
    return false;
  }
}

/** The key that the user types, or null. */
function askKey(reason) {
  const dialog = byId('key-dialog');
  const key = byId('key');
  if (reason) byId('key-message').textContent = reason;
  key.value = '';
  dialog.showModal();
  return new Promise((resolve) => {
    let answer = null;
    byId('key-form').onsubmit = (event) => {
      event.preventDefault();
      answer = key.value.trim();
      dialog.close();
    };
    dialog.addEventListener('close', () => resolve(answer || null), { once: true });
  });
}
