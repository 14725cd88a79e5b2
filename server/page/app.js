// The page of `unclip serve`: starts everything, and says which event does what.

import { byId } from './dom.js';
import { startDrops } from './drops.js';
import { startForm } from './form.js';
import { entryOf, loadFolder, startFolder } from './gallery.js';
import { download, imageAround } from './gallery-image.js';
import { isMenuOpen, startMenu } from './menu.js';
import { showNotice } from './messages.js';
import { startPainter } from './painter.js';
import { showImage, showWay } from './result.js';
import { offerUses, recallFile, recallImage } from './reuse.js';
import { cancel, isRunning, resume, showButtons, submit } from './run.js';
import { getCapabilities, showRequestError, startServer } from './server.js';
import { setCapabilities, showSettings, startSettings } from './settings.js';
import { limitUploads, slotOf, startSlots } from './slots.js';
import { currentTab, startTabs, tabButton } from './tabs.js';
import { TASKS, reasonAgainst } from './tasks.js';
import { startWay } from './way.js';

/** Tabs that are left out where the server cannot do what they ask; the others say so. */
const LEFT_OUT = ['classify', 'search'];

startSlots();
startPainter(slotOf('edit-image'));
startForm();
startSettings();
startMenu();
startWay();
startDrops();
startTabs(showTab);
startServer({ capabilities: applyCapabilities, ready: firstReady });

byId('controls').addEventListener('submit', (event) => {
  event.preventDefault();
  submit();
});
byId('cancel').addEventListener('click', cancel);
byId('examples').addEventListener('click', fillExample);
byId('recall-file').addEventListener('change', recallChosen);
document.querySelector('.output').addEventListener('click', actOnImage);
document.addEventListener('keydown', actOnKey);
if (/Mac|iPhone|iPad/.test(navigator.platform)) nameMacKeys();
if (matchMedia('(pointer: fine)').matches) byId('caption').focus();

function showTab(tab) {
  showSettings(tab);
  showReason(tab);
  showButtons();
}

function applyCapabilities(capabilities) {
  limitUploads(capabilities.limits.upload_bytes);
  setCapabilities(capabilities);
  for (const tab of Object.keys(TASKS)) {
    const reason = reasonAgainst(tab, capabilities);
    tabButton(tab).hidden = LEFT_OUT.includes(tab) && reason !== null;
    tabButton(tab).classList.toggle('impossible', reason !== null);
    tabButton(tab).title = reason ?? '';
  }
  byId('version').textContent = `unclip ${capabilities.version}`;
  showTab(currentTab());
}

function firstReady() {
  resume();
  if (!getCapabilities().gallery) return;
  startFolder(showRequestError);
  loadFolder().catch(showRequestError);
}

function showReason(tab) {
  const reason = getCapabilities() && reasonAgainst(tab, getCapabilities());
  byId('reason').hidden = !reason;
  byId('reason').textContent = reason ?? '';
}

function nameMacKeys() {
  for (const key of document.querySelectorAll('kbd')) if (key.textContent === 'Ctrl') key.textContent = '⌘';
}

function fillExample(event) {
  const example = event.target.closest('button');
  if (!example) return;
  tabButton('draw').click();
  byId('caption').value = example.textContent;
  submit();
}

function recallChosen(event) {
  const [file] = event.target.files;
  event.target.value = '';
  if (file) recallFile(file).catch(showRequestError);
}

function actOnImage(event) {
  const button = event.target.closest('[data-action]');
  if (!button) return;
  const image = imageAround(button);
  const actions = {
    show: () => showEntry(image),
    use: () => offerUses(button, image),
    recall: () => recallImage(image).catch(showRequestError),
    download: () => download(image).catch(showRequestError),
  };
  actions[button.dataset.action]();
}

function showEntry(image) {
  if (isRunning()) {
    showNotice('It can be shown large when the drawing is done or cancelled.');
    return;
  }
  const entry = entryOf(image);
  if (entry.length > 1) showWay(entry);
  else showImage(image);
  byId('result').focus({ preventScroll: true });
  byId('result').scrollIntoView({ block: 'nearest' });
}

function actOnKey(event) {
  if (byId('key-dialog').open || event.isComposing) return;
  if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    submit();
  } else if (event.key === 'Escape' && isRunning() && !isMenuOpen()) {
    event.preventDefault();
    cancel();
  }
}
