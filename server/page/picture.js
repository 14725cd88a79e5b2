// A picture of the result or of a gallery, and the figure that shows it.

import { localPath, needsKey, requestBlob } from './api.js';
import { element, icon, slug } from './dom.js';
import { showError } from './messages.js';
import { named } from './slots.js';

/** An image with what is known of it: one that was drawn here has its blob and its request, one of a folder its source. */
export class Picture {
  url = null;

  constructor({ blob = null, source = null, caption = '', alt = caption, seed = null, t = null, request = null, name = null }) {
    Object.assign(this, { blob, source, caption, alt, seed, t, request });
    this.name = name ?? `${slug(caption || alt)}${seed === null ? '' : `-${seed}`}.png`;
    if (blob) this.url = URL.createObjectURL(blob);
  }

  async file() {
    return named(this.blob ?? await requestBlob(this.source), this.name);
  }

  /** Fetches what an `img` cannot, because it sends no key. */
  async load() {
    this.blob ??= await requestBlob(this.source);
    this.url ??= URL.createObjectURL(this.blob);
  }

  /** Gives the memory back; the picture is shown no more. */
  release() {
    if (this.url) URL.revokeObjectURL(this.url);
    this.url = null;
    this.blob = null;
  }
}

const pictures = new WeakMap();

/** The picture of the figure around an element. */
export const pictureAround = (node) => pictures.get(node.closest?.('.picture'));

const seen = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    seen.unobserve(target);
    loadInto(target);
  }
}, { rootMargin: '200px' });

/** Shows a picture in an `img`; one that has to be fetched with a key as soon as it is scrolled to. */
function showIn(image, picture) {
  image.alt = picture.alt;
  if (picture.url) {
    image.src = picture.url;
  } else if (needsKey()) {
    pictures.set(image, picture);
    seen.observe(image);
  } else {
    image.loading = 'lazy';
    image.src = localPath(picture.source);
  }
}

/**
 * A figure: the image, what is known of it, and what can be done with it. `opens` makes the image a button that shows it
 * large, and a small figure has icons for words.
 */
export function figureOf(picture, { opens = false, small = opens, badge = '' } = {}) {
  const image = element('img', { decoding: 'async' });
  image.addEventListener('load', () => figure.style.setProperty('--ratio', image.naturalWidth / image.naturalHeight));
  const frame = opens
    ? element('button', { type: 'button', className: 'view', 'data-action': 'show', title: picture.caption }, image)
    : image;
  const about = element('p', { className: 'about' },
    element('span', { className: 'caption' }), element('span', { className: 'seed' }));
  const tools = element('div', { className: 'tools' },
    tool('use', 'Use', 'more', false),
    tool('recall', 'Recall settings', 'recall', small),
    tool('download', 'Download', 'download', small));
  const figure = element('figure', { className: 'picture' }, frame, element('figcaption', {}, about, tools));
  if (badge) figure.append(element('span', { className: 'badge' }, badge));
  fillFigure(figure, picture);
  return figure;
}

/** Shows another picture in a figure, whose buttons stay where they are. */
export function fillFigure(figure, picture) {
  pictures.set(figure, picture);
  showIn(figure.querySelector('img'), picture);
  figure.querySelector('.caption').textContent = picture.caption;
  figure.querySelector('.seed').textContent = picture.seed === null ? '' : `Seed ${picture.seed}`;
}

async function loadInto(image) {
  const picture = pictures.get(image);
  try {
    await picture.load();
    image.src = picture.url;
  } catch (error) {
    showError(error);
  }
}

function tool(action, words, image, iconOnly) {
  const button = element('button', { type: 'button', 'data-action': action });
  if (iconOnly) {
    button.title = words;
    button.setAttribute('aria-label', words);
    button.append(icon(image));
  } else {
    button.append(...(action === 'use' ? [words, icon(image)] : [icon(image), words]));
  }
  if (action === 'use') button.setAttribute('aria-haspopup', 'menu');
  return button;
}

/** Saves a picture as a file. */
export async function download(picture) {
  const file = await picture.file();
  const url = URL.createObjectURL(file);
  element('a', { href: url, download: file.name }).click();
  // The browser has begun to read the blob long before.
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
