// The large area: what is being drawn, what was drawn last or chosen in a gallery, labels, what was found.

import { byId, element } from './dom.js';
import { describe } from './form.js';
import { figureOf } from './gallery-image.js';
import { TASKS } from './tasks.js';
import { addFrame, closeWay, framesShown, openWay, previewFrame } from './way.js';

const images = byId('images');
let shown = [];
/** Found images belong to the result, those that were drawn to the session. */
let owned = [];
let isWay = false;

/** Places for the images that a request asks for, which are filled as they are drawn. */
export function beginResult(request) {
  clear();
  const { n = 1, frames = 1 } = request.fields;
  isWay = TASKS[request.tab].way === true && frames > 1;
  if (isWay) {
    openWay(request, Number(frames));
    return;
  }
  const places = Array.from({ length: Number(n) || 1 }, () =>
    element('div', { className: 'place', role: 'img', 'aria-label': `${describe(request)}: not drawn yet` }));
  images.replaceChildren(...places);
  countImages();
}

export function showPreview({ image: index, b64_json: base64 }) {
  const url = `data:image/png;base64,${base64}`;
  if (isWay) {
    previewFrame(url);
    return;
  }
  const place = images.children[index];
  if (!place?.classList.contains('place')) return;
  const preview = place.querySelector('img') ?? element('img', { className: 'preview', alt: '' });
  preview.src = url;
  place.append(preview);
}

/** Puts an image that is done in its place. */
export function placeImage(place, image) {
  shown.push(image);
  if (isWay) {
    addFrame(place, image);
    return;
  }
  const figure = figureOf(image, { small: images.children.length > 1 });
  const empty = images.children[place];
  if (empty) empty.replaceWith(figure);
  else images.append(figure);
  countImages();
}

/** Takes away the places of images that will not come. */
export function endResult() {
  for (const place of images.querySelectorAll('.place')) place.remove();
  countImages();
  if (isWay && framesShown().length === 0) closeWay();
  byId('welcome').hidden = shown.length > 0;
}

export function showImage(image) {
  clear();
  shown = [image];
  images.replaceChildren(figureOf(image));
  countImages();
}

export function showWay(frames) {
  clear();
  shown = frames;
  isWay = true;
  openWay(frames[0].request, frames.length, frames);
}

export function showFound(found) {
  clear();
  [shown, owned] = [found, found];
  images.replaceChildren(...found.map((image) => figureOf(image, { small: true })));
  images.classList.add('cards');
  countImages();
}

/** Labels with their probabilities, the best first. */
export function showLabels(labels) {
  clear();
  const list = byId('label-list');
  list.replaceChildren(...labels.map(({ label, probability }) => {
    const bar = element('span', { className: 'bar' });
    bar.style.width = `${100 * probability}%`;
    return element('li', {}, element('span', { className: 'label' }, label),
      element('span', { className: 'percent' }, `${(100 * probability).toFixed(1)} %`), bar);
  }));
  list.hidden = false;
}

export const isShown = (image) => shown.includes(image);

function clear() {
  for (const image of owned) image.release();
  [shown, owned, isWay] = [[], [], false];
  closeWay();
  images.replaceChildren();
  images.classList.remove('cards');
  byId('welcome').hidden = true;
  byId('label-list').hidden = true;
}

function countImages() {
  const { length } = images.children;
  images.dataset.count = length > 4 ? 'many' : length;
}
