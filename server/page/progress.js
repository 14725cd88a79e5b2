// How far a drawing is: its place in the queue, a bar for each stage, the images that are done.

import { byId, element } from './dom.js';
import { announce } from './messages.js';

const rows = new Map();

export function beginProgress() {
  rows.clear();
  byId('progress-stages').replaceChildren();
  byId('progress').hidden = false;
  say('Sent to the server');
}

export function endProgress() {
  byId('progress').hidden = true;
}

export function showQueued({ position }) {
  say(position === 1 ? 'Next in the queue' : `Number ${position} in the queue`);
}

export function showProgress({ stage, stage_index: place, done, steps, images, images_done: imagesDone }) {
  say(images > 1 ? `Drawing, ${imagesDone} of ${images} pictures done` : 'Drawing');
  if (!rows.has(stage)) addRow(stage, place);
  for (const row of rows.values()) {
    // Events may be skipped, so that a stage's last step is never told; and the next image begins with the first stage again.
    if (row.place < place) fill(row, row.bar.max);
    if (row.place > place) fill(row, 0);
  }
  const row = rows.get(stage);
  row.bar.max = Math.max(steps, 1);
  fill(row, done);
}

function say(text) {
  byId('progress-text').textContent = text;
  announce(text);
}

function addRow(stage, place) {
  const name = stage.replaceAll('_', ' ');
  const id = `progress-${stage}`;
  const bar = element('progress', { id, max: 1, value: 0 });
  const count = element('span', { className: 'count' });
  const node = element('div', { className: 'stage-row', 'data-stage': stage },
    element('label', { htmlFor: id }, name.charAt(0).toUpperCase() + name.slice(1)), bar, count);
  rows.set(stage, { node, bar, count, place });
  const inOrder = [...rows.values()].sort((one, other) => one.place - other.place);
  byId('progress-stages').replaceChildren(...inOrder.map((row) => row.node));
}

function fill({ bar, count }, done) {
  bar.value = done;
  count.textContent = `${done}/${bar.max}`;
}
