// Images used again: in a slot of another tab, or as settings recalled from what they say of how they were drawn.

import { ApiError, requestJson } from './api.js';
import { byId, element } from './dom.js';
import { writeForm } from './form.js';
import { GalleryImage } from './gallery-image.js';
import { openMenu } from './menu.js';
import { clearNotice, showError, showNotice } from './messages.js';
import { recalledWords, requestOfRecord, tabOfRecord } from './record.js';
import { getCapabilities, showRequestError } from './server.js';
import { refusal, slotOf, slotsIn } from './slots.js';
import { currentTab, panelOf, selectTab, tabButton } from './tabs.js';
import { USES, reasonAgainst } from './tasks.js';

/** Opens the menu of what an image can be used for. */
export function offerUses(button, image) {
  const possible = USES.filter(({ tab }) => reasonAgainst(tab, getCapabilities()) === null);
  openMenu(button, possible, (use) => useImage(image, use).catch(showRequestError));
}

async function useImage(image, { tab, slot }) {
  slotOf(slot).take(await image.file());
  selectTab(tab);
  clearNotice();
  if (tab === 'diff' && image.request?.fields.prompt) byId('diff-from').value = image.request.fields.prompt;
  tabButton(tab).focus();
  scrollTo({ top: 0 });
}

/** Shows how an image was drawn: as this session knows it, or as the file says. */
export async function recallImage(image) {
  if (!image.request) {
    await recallFile(await image.file());
    return;
  }
  const { request, seed } = image;
  writeForm({ ...request, fields: { ...request.fields, seed: `${seed}`, n: '1' } });
  showNotice(`Recalled the settings and the seed ${seed}, which is locked.`);
  scrollTo({ top: 0 });
}

/** Asks the server what a file says of how it was drawn. */
export async function recallFile(file) {
  const reason = refusal(file);
  if (reason) {
    showError(new ApiError(reason), 'file');
    return;
  }
  const body = new FormData();
  body.append('image', file, file.name);
  const { record } = await requestJson('/v1/images/record', { method: 'POST', body });
  if (record) recallRecord(record);
  else offerFile(file);
}

/** Gives an image to the current tab's first empty slot, or to its first. Where it has none, the image's record is recalled. */
export async function giveToTab(file) {
  const slots = slotsIn(panelOf(currentTab()));
  const slot = slots.find((one) => one.file === null) ?? slots[0];
  if (slot) slot.take(file);
  else await recallFile(file);
}

/** Puts an image of this page into a slot. */
export async function giveToSlot(slot, image) {
  slot.take(await image.file());
}

function recallRecord(record) {
  selectTab(tabOfRecord(record));
  const { request, unknown } = requestOfRecord(record);
  writeForm(request);
  showNotice(recalledWords(record, unknown));
  scrollTo({ top: 0 });
}

function offerFile(file) {
  const image = new GalleryImage({ blob: file, name: file.name });
  const button = element('button', { type: 'button', id: 'use-dropped', 'aria-haspopup': 'menu' }, 'Use the picture');
  button.addEventListener('click', () => offerUses(button, image));
  showNotice(`${file.name} does not say how it was drawn.`, button);
}
