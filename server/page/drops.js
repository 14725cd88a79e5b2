// Images dropped and pasted: on a slot they are its image, elsewhere they recall how they were drawn.

import { byId } from './dom.js';
import { imageAround } from './gallery-image.js';
import { giveToSlot, giveToTab, recallFile } from './reuse.js';
import { showRequestError } from './server.js';
import { slotAround } from './slots.js';

/** The image of this page that is being dragged. */
let dragged = null;

export function startDrops() {
  document.addEventListener('dragstart', (event) => {
    dragged = imageAround(event.target) ?? null;
  });
  document.addEventListener('dragend', () => {
    dragged = null;
    showTargets(false);
  });
  document.addEventListener('dragover', dragOver);
  document.addEventListener('dragleave', (event) => {
    if (event.relatedTarget === null) showTargets(false);
  });
  document.addEventListener('drop', drop);
  document.addEventListener('paste', paste);
}

function dragOver(event) {
  if (!dragged && !event.dataTransfer.types.includes('Files')) return;
  event.preventDefault();
  showTargets(true, slotAround(event.target));
}

function drop(event) {
  const slot = slotAround(event.target);
  const [file] = event.dataTransfer.files;
  const image = dragged;
  showTargets(false);
  if (!image && !file) return;
  event.preventDefault();
  if (image) {
    if (slot) giveToSlot(slot, image).catch(showRequestError);
  } else if (slot) {
    slot.take(file);
  } else {
    recallFile(file).catch(showRequestError);
  }
}

function paste(event) {
  const file = [...event.clipboardData.files].find(({ type }) => type.startsWith('image/'));
  const isText = event.clipboardData.types.includes('text/plain') && event.target.matches?.('input, textarea');
  if (!file || isText) return;
  event.preventDefault();
  giveToTab(file).catch(showRequestError);
}

function showTargets(dragging, target) {
  document.body.classList.toggle('dragging', dragging);
  byId('drop-hint').hidden = dragged !== null;
  for (const slot of document.querySelectorAll('.slot.target')) slot.classList.remove('target');
  target?.root.classList.add('target');
}
