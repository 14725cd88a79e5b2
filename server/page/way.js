// The viewer of a way: one large frame, and a slider that moves through them.

import { byId, element, setIcon } from './dom.js';
import { describe } from './form.js';
import { figureOf, fillFigure } from './gallery-image.js';

const FRAME_TIME = 350;

const slider = byId('way-frame');
let frames = [];
let request = null;
let total = 0;
let follows = false;
let playing = null;

export function startWay() {
  slider.addEventListener('input', () => {
    follows = false;
    stopPlaying();
    showFrame(Number(slider.value));
  });
  byId('way-play').addEventListener('click', () => (playing ? stopPlaying() : play()));
  byId('film').addEventListener('click', (event) => {
    const place = [...byId('film').children].indexOf(event.target);
    if (place < 0) return;
    follows = false;
    stopPlaying();
    showFrame(place);
  });
}

/** Opens the viewer, for frames that are still to come or for those of a way that is done. */
export function openWay(newRequest, expected, existing = []) {
  closeWay();
  [request, total, follows] = [newRequest, expected, true];
  byId('way').hidden = false;
  byId('way-name').textContent = isDiff() ? 'Strength' : 'Frame';
  byId('way-from').textContent = endOf('a', request.fields.from);
  byId('way-to').textContent = endOf('b', request.fields.to);
  existing.forEach((image, place) => addFrame(place, image));
  if (existing.length > 0) showFrame(isDiff() ? existing.length - 1 : 0);
  showReach();
}

export function closeWay() {
  stopPlaying();
  frames = [];
  byId('way').hidden = true;
  byId('way-image').replaceChildren();
  byId('film').replaceChildren();
}

/** Adds a frame, which may arrive before one that comes before it. */
export function addFrame(place, image) {
  frames[place] = image;
  const known = frames.filter(Boolean);
  byId('film').replaceChildren(...known.map(({ url }) => element('img', { src: url, alt: '' })));
  showReach();
  if (follows) showFrame(known.length - 1);
}

/** Shows how the first frame looks so far; later ones are seen when they are done. */
export function previewFrame(url) {
  if (framesShown().length > 0) return;
  const img = byId('way-image').querySelector('.preview') ?? element('img', { className: 'preview', alt: '' });
  img.src = url;
  byId('way-image').replaceChildren(img);
}

export const framesShown = () => frames.filter(Boolean);

const isDiff = () => request.tab === 'diff';

function showReach() {
  const known = framesShown().length;
  slider.max = Math.max(known - 1, 0);
  slider.disabled = known < 2;
  byId('way-play').disabled = known < 2;
}

function showFrame(place) {
  const image = framesShown()[place];
  slider.value = place;
  const figure = byId('way-image').querySelector('figure');
  if (figure) fillFigure(figure, image);
  else byId('way-image').replaceChildren(figureOf(image));
  const t = image.t ?? place / Math.max(total - 1, 1);
  const words = isDiff() ? (t * Number(request.fields.strength)).toFixed(2) : `${place + 1} of ${total}`;
  byId('way-value').textContent = words;
  slider.setAttribute('aria-valuetext', isDiff() ? `strength ${words}` : `frame ${words}`);
}

function endOf(letter, caption) {
  return caption ?? request.fields[`prompt_${letter}`] ?? request.files?.[`image_${letter}`]?.name ?? describe(request);
}

function play() {
  let step = 1;
  follows = false;
  playing = setInterval(() => {
    const at = Number(slider.value);
    if (at + step < 0 || at + step >= framesShown().length) step = -step;
    showFrame(at + step);
  }, FRAME_TIME);
  setPlayButton('Pause', 'pause');
}

function stopPlaying() {
  clearInterval(playing);
  playing = null;
  setPlayButton('Play the frames', 'play');
}

function setPlayButton(words, name) {
  byId('way-play').setAttribute('aria-label', words);
  setIcon(byId('way-play'), name);
}
