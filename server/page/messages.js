// Messages: errors, notices, and to screen readers how the drawing goes.

import { byId, element, icon } from './dom.js';

const MOST = 3;

/** An error, until it is dismissed. One of the same kind takes the place of the one before. */
export function showError(error, kind = '') {
  show(byId('alerts'), 'error', error.message ?? String(error), kind);
}

export function clearErrors(kind) {
  for (const message of byId('alerts').querySelectorAll('.message')) {
    if (kind === undefined || message.dataset.kind === kind) message.remove();
  }
}

/** News that is no error, with buttons behind it: a file that was read takes away what was wrong with the one before. */
export function showNotice(text, ...buttons) {
  clearErrors('file');
  byId('notices').replaceChildren();
  show(byId('notices'), 'notice', text, '', buttons);
}

export function clearNotice() {
  byId('notices').replaceChildren();
}

/** Read aloud, not shown. */
export function announce(text) {
  const region = byId('announcements');
  if (region.textContent !== text) region.textContent = text;
}

function show(region, style, text, kind, buttons = []) {
  const same = [...region.children].filter((message) =>
    message.querySelector('span').textContent === text || (kind !== '' && message.dataset.kind === kind));
  for (const message of same) message.remove();
  while (region.children.length >= MOST) region.firstElementChild.remove();
  const close = element('button', { type: 'button', className: 'close', 'aria-label': 'Dismiss' }, icon('close'));
  const message = element('div', { className: `message ${style}` }, element('span', {}, text), ...buttons, close);
  message.dataset.kind = kind;
  message.dataset.testid = style;
  close.addEventListener('click', () => message.remove());
  region.append(message);
}
