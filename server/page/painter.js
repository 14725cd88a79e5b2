// The painter of a mask over an image: brush, eraser, rectangles, undo.

import { byId } from './dom.js';
import { named } from './slots.js';

const COLOUR = '#e5197e';
/** Larger canvases stay empty on phones, so larger images are reduced first. */
const MOST_PIXELS = 16_000_000;
// Pixels as numbers: alpha, blue, green, red.
const TRANSPARENT = 0;
const BLACK = 0xff000000;

const easel = byId('easel-image');
const canvas = byId('mask');
const ring = byId('brush-ring');
const size = byId('brush-size');
const context = canvas.getContext('2d');

/** The strokes that marked and erased, in their order: undo leaves out the last. */
let operations = [];
let stroke = null;
let pointer = null;

export const maskOperations = () => structuredClone(operations);

export function startPainter(slot) {
  slot.addEventListener('change', () => openImage(slot));
  canvas.addEventListener('pointerdown', beginStroke);
  canvas.addEventListener('pointermove', moveBrush);
  canvas.addEventListener('lostpointercapture', endStroke);
  canvas.addEventListener('pointerleave', () => { ring.hidden = true; });
  byId('mask-undo').addEventListener('click', () => restoreMask(operations.slice(0, -1)));
  byId('mask-clear').addEventListener('click', () => add({ kind: 'clear' }));
  byId('rect-fill').addEventListener('click', () => add(rectangle(false)));
  byId('rect-erase').addEventListener('click', () => add(rectangle(true)));
  byId('rectangle').addEventListener('keydown', (event) => {
    if (event.key !== 'Enter' || event.ctrlKey || event.metaKey || event.target.type !== 'number') return;
    event.preventDefault();
    add(rectangle(false));
  });
  easel.addEventListener('load', () => fitCanvas(slot));
}

/** Marks what other operations marked, as they were read by maskOperations. */
export function restoreMask(others) {
  operations = others;
  context.clearRect(0, 0, canvas.width, canvas.height);
  for (const operation of operations) paint(operation);
  byId('mask-undo').disabled = operations.length === 0;
  byId('mask-clear').disabled = operations.length === 0 || operations.at(-1).kind === 'clear';
}

/** The mask as a PNG whose transparent pixels are painted anew; null where nothing is marked. */
export async function readMask() {
  const { width, height } = canvas;
  const mask = context.getImageData(0, 0, width, height);
  const pixels = new Uint32Array(mask.data.buffer);
  let marked = 0;
  for (let i = 0; i < pixels.length; i += 1) {
    const isMarked = pixels[i] >>> 24 > 127;
    marked += isMarked;
    pixels[i] = isMarked ? TRANSPARENT : BLACK;
  }
  if (marked === 0) return null;
  const copy = new OffscreenCanvas(width, height);
  copy.getContext('2d').putImageData(mask, 0, 0);
  return named(await copy.convertToBlob({ type: 'image/png' }), 'mask.png');
}

function openImage(slot) {
  byId('painter').hidden = slot.file === null;
  restoreMask([]);
  if (slot.file) easel.src = slot.url;
  else easel.removeAttribute('src');
}

async function fitCanvas(slot) {
  const { naturalWidth: width, naturalHeight: height } = easel;
  if (width * height > MOST_PIXELS) {
    slot.take(await reduced(easel, slot.file.name));
    return;
  }
  easel.parentElement.style.setProperty('--ratio', width / height);
  const kept = operations;
  canvas.width = width;
  canvas.height = height;
  const longest = Math.max(width, height);
  size.max = Math.round(longest / 2);
  size.value = Math.round(longest / 8);
  byId('rect-x').max = width - 1;
  byId('rect-y').max = height - 1;
  byId('rect-width').max = width;
  byId('rect-height').max = height;
  restoreMask(kept);
}

async function reduced(img, name) {
  const scale = Math.sqrt(MOST_PIXELS / (img.naturalWidth * img.naturalHeight));
  const copy = new OffscreenCanvas(Math.floor(img.naturalWidth * scale), Math.floor(img.naturalHeight * scale));
  copy.getContext('2d').drawImage(img, 0, 0, copy.width, copy.height);
  return named(await copy.convertToBlob({ type: 'image/png' }), name);
}

function add(operation) {
  restoreMask([...operations, operation]);
}

function rectangle(erase) {
  const [x, y, width, height] = ['x', 'y', 'width', 'height'].map((side) => Number(byId(`rect-${side}`).value) || 0);
  return { kind: 'rectangle', erase, x, y, width, height };
}

function beginStroke(event) {
  if (stroke || event.button !== 0) return;
  canvas.setPointerCapture(event.pointerId);
  pointer = event.pointerId;
  const erase = byId('tool-eraser').checked;
  stroke = { kind: 'stroke', erase, size: Number(size.value), points: [placeOf(event)] };
  add(stroke);
}

function moveBrush(event) {
  showRing(event);
  if (!stroke || event.pointerId !== pointer) return;
  const events = event.getCoalescedEvents?.() ?? [];
  const from = stroke.points.length - 1;
  stroke.points.push(...(events.length > 0 ? events : [event]).map(placeOf));
  paint({ ...stroke, points: stroke.points.slice(from) });
}

function endStroke(event) {
  if (event.pointerId !== pointer) return;
  stroke = null;
  // Painted as a whole, so that it has the edges that it will have after an undo.
  restoreMask(operations);
}

/** Where a pointer is, in the image's pixels. */
function placeOf(event) {
  const box = canvas.getBoundingClientRect();
  const scale = canvas.width / box.width;
  return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
}

function paint(operation) {
  context.globalCompositeOperation = operation.erase ? 'destination-out' : 'source-over';
  context.fillStyle = COLOUR;
  context.strokeStyle = COLOUR;
  if (operation.kind === 'clear') {
    context.clearRect(0, 0, canvas.width, canvas.height);
  } else if (operation.kind === 'rectangle') {
    context.fillRect(operation.x, operation.y, operation.width, operation.height);
  } else {
    paintStroke(operation);
  }
}

function paintStroke({ points, size: width }) {
  context.lineWidth = width;
  context.lineCap = 'round';
  context.lineJoin = 'round';
  context.beginPath();
  context.moveTo(...points[0]);
  // A line to where it begins makes a tap a dot.
  for (const point of points.length > 1 ? points.slice(1) : points) context.lineTo(...point);
  context.stroke();
}

function showRing(event) {
  const box = canvas.getBoundingClientRect();
  const diameter = Number(size.value) * box.width / canvas.width;
  ring.hidden = event.pointerType === 'touch';
  ring.style.width = `${diameter}px`;
  ring.style.height = `${diameter}px`;
  ring.style.translate = `${event.clientX - box.left - diameter / 2}px ${event.clientY - box.top - diameter / 2}px`;
}
