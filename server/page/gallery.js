// The galleries: what was drawn in this session, and the folder that the server shows.

import { requestJson } from './api.js';
import { byId } from './dom.js';
import { Picture, figureOf } from './picture.js';
import { isShown } from './result.js';

const MOST_IN_SESSION = 200;
const PAGE = 24;

/** The newest last: {pictures, card}. A way is one entry with all its frames. */
const session = [];
let folder = [];
let folderEntries = [];
let folderShown = PAGE;

/** Adds an image, or the frames of a way, to the session. */
export function addToSession(pictures) {
  const card = figureOf(pictures.at(-1), { opens: true, badge: pictures.length > 1 ? `${pictures.length} frames` : '' });
  session.push({ pictures, card });
  byId('session-cards').prepend(card);
  byId('session').hidden = false;
  forgetOldest();
}

/** All images of the entry that a picture is in: the frames of its way, or itself. */
export function entryOf(picture) {
  return session.find(({ pictures }) => pictures.includes(picture))?.pictures ?? [picture];
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
  const known = new Map(folder.map((picture) => [picture.id, picture]));
  folder = folderEntries.slice(0, folderShown).map((entry) => known.get(entry.id) ?? pictureOf(entry));
  for (const picture of known.values()) if (!folder.includes(picture)) picture.release();
  byId('folder-cards').replaceChildren(...folder.map((picture) => figureOf(picture, { opens: true })));
  byId('folder-more').hidden = folderEntries.length <= folderShown;
}

/** A picture of an entry of the folder, or of one that a search found. */
export function pictureOf({ id, url, caption, score }) {
  const fileName = String(id).split('/').at(-1);
  const words = caption ?? (score === undefined ? fileName : `${fileName}, similarity ${score.toFixed(3)}`);
  const picture = new Picture({ source: url, caption: words, name: /\.\w+$/.test(fileName) ? fileName : `${fileName}.png` });
  picture.id = id;
  return picture;
}

function forgetOldest() {
  let count = session.reduce((sum, { pictures }) => sum + pictures.length, 0);
  while (count > MOST_IN_SESSION && session.length > 1 && !session[0].pictures.some(isShown)) {
    const { pictures, card } = session.shift();
    for (const picture of pictures) picture.release();
    card.remove();
    count -= pictures.length;
  }
}
