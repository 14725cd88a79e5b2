// A run: what the form asks for, sent to the server and followed until its images are here.

import { ApiError, ConnectionError, requestBlob, requestJson } from './api.js';
import { byId, wait } from './dom.js';
import { FormError, describe, formDataOf, readForm } from './form.js';
import { addToSession, loadFolder, imageOf } from './gallery.js';
import { GalleryImage } from './gallery-image.js';
import { Job } from './job.js';
import { announce, clearErrors, clearNotice, showError, showNotice } from './messages.js';
import { beginProgress, endProgress, showProgress, showQueued } from './progress.js';
import { beginResult, endResult, placeImage, showFound, showLabels, showPreview } from './result.js';
import { getCapabilities, isReady, showRequestError, showState } from './server.js';
import { showSeed } from './settings.js';
import { currentTab } from './tabs.js';
import { TASKS, reasonAgainst } from './tasks.js';

/** Where a job is noted, so that it is followed further when the page is loaded again. */
const NOTE = 'unclip-job';
const FETCHES = 5;

/** The run in progress: {request, job, isCancelled, abort}; one at a time. */
let run = null;

export const isRunning = () => run !== null;

/** Draws, classifies or searches what the form asks for. */
export async function submit() {
  if (run || !mayAsk()) return;
  clearErrors();
  clearNotice();
  await perform(async () => {
    run.request = readForm();
    const body = await formDataOf(run.request);
    if (TASKS[run.request.tab].task) await draw(() => startJob(body));
    else await ask(body);
  });
}

/** Ends what is running. */
export async function cancel() {
  if (!run || run.isCancelled) return;
  run.isCancelled = true;
  announce('Cancelling');
  run.abort.abort();
  try {
    await run.job?.cancel();
  } catch (error) {
    showRequestError(error);
  }
}

/** Follows the job that this tab had begun before it was loaded again. */
export async function resume() {
  const note = JSON.parse(sessionStorage.getItem(NOTE) ?? 'null');
  if (!note || run) return;
  await perform(async () => {
    run.request = { ...note.request, files: {} };
    await draw(async () => new Job(note.id)).catch((error) => {
      // A server that was started again knows no job from before: nothing to tell.
      if (error.status !== 404 && error.status !== 410) throw error;
    });
  });
}

async function perform(action) {
  run = { request: null, job: null, isCancelled: false, abort: new AbortController() };
  showButtons();
  try {
    await action();
  } catch (error) {
    showRunError(error);
  } finally {
    run = null;
    showButtons();
  }
}

/** Shows what the buttons do in this tab, and whether they can. */
export function showButtons() {
  const go = byId('go');
  const { button } = TASKS[currentTab()];
  go.textContent = run ? 'Working …' : button;
  go.setAttribute('aria-disabled', run !== null || !mayAsk());
  if (!run && document.activeElement === byId('cancel')) go.focus();
  byId('cancel').hidden = run === null;
  byId('main').ariaBusy = run !== null;
}

function mayAsk() {
  return isReady() && reasonAgainst(currentTab(), getCapabilities()) === null;
}

async function draw(start) {
  beginResult(run.request);
  beginProgress();
  scrollToResult();
  const images = new Map();
  try {
    run.job = await start();
    if (run.isCancelled) await run.job.cancel();
    await follow(run, images);
  } finally {
    sessionStorage.removeItem(NOTE);
    endProgress();
    endResult();
    await keepWay(images);
    if (getCapabilities()?.gallery) loadFolder().catch(showRequestError);
  }
}

async function startJob(body) {
  const job = await Job.start(body);
  if (job.unknownWords) showNotice(`The model was trained on no caption with: ${job.unknownWords}`);
  const { tab, fields } = run.request;
  sessionStorage.setItem(NOTE, JSON.stringify({ id: job.id, request: { tab, fields } }));
  return job;
}

/** Follows a run's job to its end; `images` gets the promises of what it draws, by their places. */
async function follow({ request, job }, images) {
  const receive = (place, datum) => {
    if (!images.has(place)) images.set(place, receiveImage(place, datum, request));
  };
  const end = await job.follow((event) => showEvent(event, receive), (isThere) => showState(isThere ? 'ready' : 'lost'));
  end.result?.data.forEach((datum, place) => receive(place, datum));
  await Promise.all(images.values());
  if (end.type === 'job.failed') throw new ApiError(end.error.message);
  announce(end.type === 'job.completed' ? 'Done' : 'Cancelled');
}

function showEvent(event, receive) {
  switch (event.type) {
    case 'job.queued': return showQueued(event);
    case 'job.progress': return showProgress(event);
    case 'job.preview': return showPreview(event);
    case 'job.image': return receive(event.image, event);
    default: return undefined;
  }
}

/** Fetches an image that is done and shows it in its place. */
async function receiveImage(place, datum, request) {
  try {
    const blob = datum.url ? await fetchPatiently(datum.url) : blobOf(datum.b64_json);
    const words = describe(request);
    const isFrame = TASKS[request.tab].way && request.fields.frames > 1;
    const alt = isFrame ? `${words}, frame ${place + 1}` : words;
    const image = new GalleryImage({ blob, caption: words, alt, seed: datum.seed ?? null, t: datum.t ?? null, request });
    if (place === 0) showSeed(datum.seed);
    placeImage(place, image);
    if (!isFrame) addToSession([image]);
    return image;
  } catch (error) {
    showRequestError(error);
    return null;
  }
}

/** The frames of a way are one entry of the session, also where it was cancelled on the way. */
async function keepWay(images) {
  const arrived = await Promise.all([...images].sort(([one], [other]) => one - other).map(([, image]) => image));
  const frames = arrived.filter(Boolean);
  if (frames.length > 0 && frames[0].request.fields.frames > 1) addToSession(frames);
}

async function fetchPatiently(url) {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await requestBlob(url);
    } catch (error) {
      if (!(error instanceof ConnectionError) || attempt === FETCHES) throw error;
      await wait(1000 * attempt);
    }
  }
}

function blobOf(base64) {
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  return new Blob([bytes], { type: 'image/png' });
}

/** Answers that come at once: labels, and the pictures of a search. */
async function ask(body) {
  const { tab } = run.request;
  announce('Asked the server');
  const { data } = await requestJson(TASKS[tab].route, { method: 'POST', body, signal: run.abort.signal });
  if (tab === 'classify') showLabels(data);
  else showFound(data.map(imageOf));
  announce(tab === 'classify' ? `${data[0]?.label ?? 'Nothing'} fits best` : `${data.length} pictures found`);
  scrollToResult();
}

function showRunError(error) {
  if (error instanceof FormError) {
    showError(error, 'form');
    error.place.focus();
  } else if (error.name === 'AbortError') {
    announce('Cancelled');
  } else {
    showRequestError(error);
  }
}

/** On a phone the result lies below the form. */
function scrollToResult() {
  const result = byId('result');
  if (result.getBoundingClientRect().top < innerHeight * 0.6) return;
  const isCalm = matchMedia('(prefers-reduced-motion: reduce)').matches;
  result.scrollIntoView({ behavior: isCalm ? 'auto' : 'smooth', block: 'start' });
}
