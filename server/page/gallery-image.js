// An image of the result or of a gallery, and the figure that shows it.

import { localPath, needsKey, requestBlob } from './api.js';
import { element, icon, slug } from './dom.js';
import { showError } from './messages.js';
import { named } from './slots.js';

/** An image with what is known of it: one that was drawn here has its blob and its request, one of a folder its source. */
export class GalleryImage {
  url = null;
  thumbnailUrl = null;

  constructor({ blob = null, source = null, thumbnail = null, caption = '', alt = caption, seed = null, t = null, request = null, name = null }) {
    Object.assign(this, { blob, source, thumbnail, caption, alt, seed, t, request });
    this.name = name ?? `${slug(caption || alt)}${seed === null ? '' : `-${seed}`}.png`;
    if (blob) this.url = URL.createObjectURL(blob);
  }

  async file() {
    return named(this.blob ?? await requestBlob(this.source), this.name);
  }

  /** The address of what an `img` cannot fetch itself, because it sends no key. */
  async load(small) {
    if (small && this.thumbnail) return this.thumbnailUrl ??= URL.createObjectURL(await requestBlob(this.thumbnail));
    this.blob ??= await requestBlob(this.source);
    return this.url ??= URL.createObjectURL(this.blob);
  }

  /** Gives the memory back; the image is shown no more. */
  release() {
    for (const url of [this.url, this.thumbnailUrl]) if (url) URL.revokeObjectURL(url);
    this.url = null;
    this.thumbnailUrl = null;
    this.blob = null;
  }
}

const images = new WeakMap();

/** The image of the figure around an element. */
export const imageAround = (node) => images.get(node.closest?.('.image'));

const seen = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    seen.unobserve(target);
    loadInto(target);
  }
}, { rootMargin: '200px' });

/** Shows an image in an `img`, a small one where there is one; one that has to be fetched with a key as soon as it is scrolled to. */
function showIn(img, image, small) {
  img.alt = image.alt;
  const known = image.url ?? (small ? image.thumbnailUrl : null);
  if (known) {
    img.src = known;
  } else if (needsKey()) {
    images.set(img, image);
    seen.observe(img);
  } else {
    img.loading = 'lazy';
    img.src = localPath((small && image.thumbnail) || image.source);
  }
}

/**
 * A figure: the image, what is known of it, and what can be done with it. `opens` makes the image a button that shows it
 * large, and a small figure has icons for words.
 */
export function figureOf(image, { opens = false, small = opens, badge = '' } = {}) {
  const img = element('img', { decoding: 'async' });
  img.addEventListener('load', () => figure.style.setProperty('--ratio', img.naturalWidth / img.naturalHeight));
  const frame = opens
    ? element('button', { type: 'button', className: 'view', 'data-action': 'show', title: image.caption }, img)
    : img;
  const about = element('p', { className: 'about' },
    element('span', { className: 'caption' }), element('span', { className: 'seed' }));
  const tools = element('div', { className: 'tools' },
    tool('use', 'Use', 'more', false),
    tool('recall', 'Recall settings', 'recall', small),
    tool('download', 'Download', 'download', small));
  const figure = element('figure', { className: small ? 'image small' : 'image' }, frame, element('figcaption', {}, about, tools));
  if (badge) figure.append(element('span', { className: 'badge' }, badge));
  fillFigure(figure, image);
  return figure;
}

/** Shows another image in a figure, whose buttons stay where they are. */
export function fillFigure(figure, image) {
  images.set(figure, image);
  showIn(figure.querySelector('img'), image, figure.classList.contains('small'));
  figure.querySelector('.caption').textContent = image.caption;
  figure.querySelector('.seed').textContent = image.seed === null ? '' : `Seed ${image.seed}`;
}

async function loadInto(img) {
  const image = images.get(img);
  try {
    img.src = await image.load(img.closest('.image')?.classList.contains('small'));
  } catch (error) {
    showError(error);
  }
}

function tool(action, words, iconName, iconOnly) {
  const button = element('button', { type: 'button', 'data-action': action });
  if (iconOnly) {
    button.title = words;
    button.setAttribute('aria-label', words);
    button.append(icon(iconName));
  } else {
    button.append(...(action === 'use' ? [words, icon(iconName)] : [icon(iconName), words]));
  }
  if (action === 'use') button.setAttribute('aria-haspopup', 'menu');
  return button;
}

/** Saves an image as a file. */
export async function download(image) {
  const file = await image.file();
  const url = URL.createObjectURL(file);
  element('a', { href: url, download: file.name }).click();
  // The browser has begun to read the blob long before.
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
