// The form as a request, and a request as the form.
//
// A request is what a tab asks for: {tab, fields, files, mask}. Fields are text by the interface's names, files are those of
// the slots, and the mask is what the painter was told. Each image of the session keeps its request, so that it can be recalled.

import { byId, isHidden } from './dom.js';
import { maskOperations, readMask, restoreMask } from './painter.js';
import { readSettings, writeSettings } from './settings.js';
import { slotsIn } from './slots.js';
import { currentTab, panelOf, selectTab } from './tabs.js';
import { TASKS } from './tasks.js';

/** Something that the form lacks, and the element where it can be given. */
export class FormError extends Error {
  constructor(message, place) {
    super(message);
    this.place = place;
  }
}

export function startForm() {
  for (const end of ['a', 'b']) {
    const [slot] = slotsIn(panelOf('interpolate')).filter(({ field }) => field === `image_${end}`);
    slot.addEventListener('change', () => { byId(`prompt-${end}-field`).hidden = slot.file !== null; });
  }
  byId('strength').addEventListener('input', showStrength);
}

/** The request of the current tab; a FormError where something is missing. */
export function readForm() {
  const tab = currentTab();
  const panel = panelOf(tab);
  const [fields, files] = [{}, {}];
  for (const slot of slotsIn(panel)) {
    if (slot.file) files[slot.field] = slot.file;
    else if (slot.missing) throw new FormError(slot.missing, byId(slot.root.dataset.slot));
  }
  for (const input of inputsOf(panel)) {
    const value = input.type === 'checkbox' ? (input.checked ? 'true' : '') : input.value.trim();
    if (value !== '') fields[input.dataset.field] = value;
    else if (input.dataset.missing) throw new FormError(input.dataset.missing, input);
  }
  checkEnds(tab, fields, files);
  const mask = tab === 'edit' ? maskOperations() : null;
  return { tab, fields: { ...fields, ...readSettings() }, files, mask };
}

/** Shows a request again, in its tab. */
export function writeForm({ tab, fields, files = {}, mask }) {
  selectTab(tab);
  const panel = panelOf(tab);
  for (const slot of slotsIn(panel)) {
    if (files[slot.field]) slot.take(files[slot.field]);
    else if (fields[slot.field.replace('image_', 'prompt_')]) slot.clear();
  }
  for (const input of panel.querySelectorAll('[data-field]:not(.slot)')) {
    const value = fields[input.dataset.field];
    if (input.type === 'checkbox') input.checked = value === 'true';
    else input.value = value ?? input.defaultValue;
  }
  if (mask) restoreMask(mask);
  showStrength();
  writeSettings(fields);
}

/** A request as the server reads it. */
export async function formDataOf({ tab, fields, files }) {
  const form = new FormData();
  const { task } = TASKS[tab];
  if (task) {
    form.append('task', task);
    form.append('response_format', 'url');
  }
  for (const [name, value] of Object.entries(fields)) {
    if (name === 'labels') for (const label of labelsIn(value)) form.append('labels[]', label);
    else form.append(name, value);
  }
  for (const [name, file] of Object.entries(files)) form.append(name, file, file.name);
  if (tab === 'edit') form.append('mask', await markedMask());
  return form;
}

/** Words for what a request draws: the text of its images for those who do not see them. */
export function describe({ tab, fields, files }) {
  const nameOf = (file) => file?.name?.replace(/\.\w+$/, '') ?? 'a picture';
  const end = (letter) => fields[`prompt_${letter}`] ?? nameOf(files?.[`image_${letter}`]);
  const words = {
    draw: () => fields.prompt,
    vary: () => `Variation of ${nameOf(files?.image)}`,
    interpolate: () => `From ${end('a')} to ${end('b')}`,
    edit: () => fields.prompt ?? `${nameOf(files?.image)}, painted anew in part`,
    diff: () => `${fields.from} becomes ${fields.to}`,
  };
  return words[tab]() ?? 'Picture';
}

const inputsOf = (panel) => [...panel.querySelectorAll('[data-field]:not(.slot)')].filter((input) => !isHidden(input));

const labelsIn = (text) => text.split(',').map((label) => label.trim()).filter((label) => label !== '');

function checkEnds(tab, fields, files) {
  if (tab === 'search') {
    if (!fields.query && !files.image) throw new FormError('Type a caption, or give a picture.', byId('query'));
    if (fields.query && files.image) throw new FormError('Search by a caption or by a picture, not by both.', byId('query'));
  }
  if (tab !== 'interpolate') return;
  for (const [end, name] of [['a', 'begins'], ['b', 'ends']]) {
    if (!fields[`prompt_${end}`] && !files[`image_${end}`]) {
      throw new FormError(`Give the picture or the caption where the way ${name}.`, byId(`image-${end}`));
    }
  }
}

async function markedMask() {
  const mask = await readMask();
  if (!mask) throw new FormError('Mark the part that is to be painted anew, with the brush or as a rectangle.', byId('tool-brush'));
  return mask;
}

function showStrength() {
  byId('strength-value').textContent = byId('strength').value;
}
