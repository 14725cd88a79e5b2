// The galleries: what was drawn in this session, and the folder that the server shows.

import { requestJson } from './api.js';
import { byId } from './dom.js';
import { GalleryImage, figureOf } from './gallery-image.js';
import { isShown } from './result.js';

const MOST_IN_SESSION = 200;
const PAGE = 24;
/** Words for pictures without a caption, by the command that draws such. */
const COMMANDS = { variations: 'Variation', interpolate: 'Frame of a way', inpaint: 'Painted', edit: 'Text diff' };

/** The newest last: {images, card}. A way is one entry with all its frames. */
const session = [];
let folder = [];
let folderEntries = [];
let folderShown = PAGE;

/** Adds an image, or the frames of a way, to the session. */
export function addToSession(images) {
  const card = figureOf(images.at(-1), { opens: true, badge: images.length > 1 ? `${images.length} frames` : '' });
  session.push({ images, card });
  byId('session-cards').prepend(card);
  byId('session').hidden = false;
  forgetOldest();
}

/** All images of the entry that an image is in: the frames of its way, or itself. */
export function entryOf(image) {
  return session.find(({ images }) => images.includes(image))?.images ?? [image];
}

export function startFolder(onError) {
  byId('folder').hidden = false;
  byId('folder-refresh').addEventListener('click', () => loadFolder().catch(onError));
  byId('folder-more').addEventListener('click', () => {
    folderShown += PAGE;
    showFolder();
  });
}

export async function loadFolder() {
  const { data } = await requestJson('/v1/gallery');
  const isSame = data.length === folderEntries.length && data.every(({ id }, place) => id === folderEntries[place].id);
  byId('folder-empty').hidden = data.length > 0;
  if (isSame) return;
  folderEntries = data;
  showFolder();
}

function showFolder() {
  const known = new Map(folder.map((image) => [image.id, image]));
  folder = folderEntries.slice(0, folderShown).map((entry) => known.get(entry.id) ?? imageOf(entry));
  for (const image of known.values()) if (!folder.includes(image)) image.release();
  byId('folder-cards').replaceChildren(...folder.map((image) => figureOf(image, { opens: true })));
  byId('folder-more').hidden = folderEntries.length <= folderShown;
}

/** An image of an entry of the folder, or of one that a search found. */
export function imageOf({ id, url, caption, command, score }) {
  const fileName = String(id).split('/').at(-1);
  const words = caption ?? (score === undefined ? COMMANDS[command] ?? 'Picture' : `Similarity ${score.toFixed(3)}`);
  const image = new GalleryImage({ source: url, thumbnail: `${url}/thumbnail`, caption: words, name: /\.\w+$/.test(fileName) ? fileName : `${fileName}.png` });
  image.id = id;
  return image;
}

function forgetOldest() {
  let count = session.reduce((sum, { images }) => sum + images.length, 0);
  while (count > MOST_IN_SESSION && session.length > 1 && !session[0].images.some(isShown)) {
    const { images, card } = session.shift();
    for (const image of images) image.release();
    card.remove();
    count -= images.length;
  }
}
