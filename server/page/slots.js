// Slots: each takes one image, by a file input, a drop, a paste, or from a gallery.

import { ApiError } from './api.js';
import { byId } from './dom.js';
import { clearErrors, showError } from './messages.js';

const slots = new Map();
let largestUpload = Infinity;

export const limitUploads = (bytes) => { largestUpload = bytes; };

/** The slot of an id such as "vary-image". */
export const slotOf = (id) => slots.get(id);

/** The slot that an element is in, if it is in one. */
export const slotAround = (node) => slots.get(node.closest?.('.slot')?.dataset.slot);

export const slotsIn = (panel) => [...panel.querySelectorAll('.slot')].map((root) => slots.get(root.dataset.slot));

export function startSlots() {
  for (const root of document.querySelectorAll('.slot')) slots.set(root.dataset.slot, new ImageSlot(root));
}

/** A message where the file is none that the server would take; null where it may. */
export function refusal(file) {
  if (file.type !== '' && !file.type.startsWith('image/')) return `${file.name} is not a picture.`;
  if (file.size > largestUpload) {
    return `${file.name} has ${megabytes(file.size)} MB, and the server takes ${megabytes(largestUpload)} MB at most.`;
  }
  return null;
}

const megabytes = (bytes) => Math.ceil(bytes / 2 ** 20);

/** Fires "change" on its element when it holds another image, or none. */
class ImageSlot extends EventTarget {
  file = null;
  url = null;

  constructor(root) {
    super();
    this.root = root;
    this.field = root.dataset.field;
    this.missing = root.dataset.missing;
    root.append(byId('slot-template').content.cloneNode(true));
    const [title, input, frame, remove] =
      ['.slot-title', 'input', '.slot-frame', '.slot-remove'].map((part) => root.querySelector(part));
    title.textContent = root.dataset.title;
    title.id = `${root.dataset.slot}-title`;
    input.id = root.dataset.slot;
    frame.htmlFor = input.id;
    frame.id = `${input.id}-frame`;
    input.setAttribute('aria-labelledby', `${title.id} ${frame.id}`);
    remove.setAttribute('aria-label', `Remove the picture “${root.dataset.title}”`);
    input.addEventListener('change', () => {
      if (input.files[0]) this.take(input.files[0]);
      input.value = '';
    });
    remove.addEventListener('click', () => {
      this.clear();
      input.focus();
    });
    this.img.addEventListener('error', () => this.#refuseUnreadable());
  }

  get img() {
    return this.root.querySelector('img');
  }

  get name() {
    return this.file?.name?.replace(/\.\w+$/, '') || 'a picture';
  }

  /** Takes a file, which is refused in words where the server would not take it. */
  take(file) {
    const reason = refusal(file);
    if (reason) {
      showError(new ApiError(reason), 'file');
      return;
    }
    clearErrors('file');
    this.#hold(file);
  }

  clear() {
    this.#hold(null);
  }

  #hold(file) {
    if (this.url) URL.revokeObjectURL(this.url);
    this.file = file;
    this.url = file && URL.createObjectURL(file);
    this.#show();
    this.dispatchEvent(new Event('change'));
  }

  #show() {
    const { root, img, file } = this;
    const filled = file !== null;
    root.classList.toggle('filled', filled);
    if (filled) img.src = this.url;
    else img.removeAttribute('src');
    img.hidden = !filled;
    img.alt = filled ? this.name : '';
    root.querySelector('.slot-invitation').hidden = filled;
    root.querySelector('.slot-file').hidden = !filled;
    root.querySelector('.slot-name').textContent = file?.name ?? '';
  }

  #refuseUnreadable() {
    if (!this.file) return;
    const { name } = this.file;
    this.clear();
    showError(new ApiError(`${name} cannot be read as a picture. PNG, JPEG, WebP and GIF can.`), 'file');
  }
}

/** A blob with the name of a file, for slots and uploads. */
export const named = (blob, name) => new File([blob], name, { type: blob.type });
