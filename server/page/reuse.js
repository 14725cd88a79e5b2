// Images used again: in a slot of another tab, or as settings recalled from what they say of how they were drawn.

import { ApiError, requestJson } from './api.js';
import { writeForm } from './form.js';
import { openMenu } from './menu.js';
import { clearNotice, showError, showNotice } from './messages.js';
import { Picture } from './picture.js';
import { recalledWords, requestOfRecord, tabOfRecord } from './record.js';
import { getCapabilities, showRequestError } from './server.js';
import { refusal, slotOf, slotsIn } from './slots.js';
import { currentTab, panelOf, selectTab, tabButton } from './tabs.js';
import { USES, reasonAgainst } from './tasks.js';
import { byId, element } from './dom.js';

/** Opens the menu of what a picture can be used for. */
export function offerUses(button, picture) {
  const possible = USES.filter(({ tab }) => reasonAgainst(tab, getCapabilities()) === null);
  openMenu(button, possible, (use) => usePicture(picture, use).catch(showRequestError));
}

async function usePicture(picture, { tab, slot }) {
  slotOf(slot).take(await picture.file());
  selectTab(tab);
  clearNotice();
  if (tab === 'diff' && picture.request?.fields.prompt) byId('diff-from').value = picture.request.fields.prompt;
  tabButton(tab).focus();
  scrollTo({ top: 0 });
}

/** Shows how a picture was drawn: as this session knows it, or as the file says. */
export async function recallPicture(picture) {
  if (!picture.request) {
    await recallFile(await picture.file());
    return;
  }
  const { request, seed } = picture;
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

/** Gives an image to the current tab: to its first empty slot, or to its first. Where it has none, the image's record is recalled. */
export async function giveToTab(file) {
  const slots = slotsIn(panelOf(currentTab()));
  const slot = slots.find((one) => one.file === null) ?? slots[0];
  if (slot) slot.take(file);
  else await recallFile(file);
}

/** Puts a picture of this page into a slot. */
export async function giveToSlot(slot, picture) {
  slot.take(await picture.file());
}

function recallRecord(record) {
  selectTab(tabOfRecord(record));
  const { request, unknown } = requestOfRecord(record);
  writeForm(request);
  showNotice(recalledWords(record, unknown));
  scrollTo({ top: 0 });
}

function offerFile(file) {
  const picture = new Picture({ blob: file, name: file.name });
  const button = element('button', { type: 'button', id: 'use-dropped', 'aria-haspopup': 'menu' }, 'Use the image');
  button.addEventListener('click', () => offerUses(button, picture));
  showNotice(`${file.name} does not say how it was drawn.`, button);
}
