// Records: what a PNG says of how it was drawn, as a request of this page.

import { fieldsOfRecord } from './settings.js';

const TABS = { generate: 'draw', variations: 'vary', inpaint: 'edit', interpolate: 'interpolate', edit: 'diff' };
const PLACES = { vary: 'the picture', edit: 'the picture and its mask', diff: 'the picture' };

/** The tab of a record: that of its command, or Draw where this page has none. */
export const tabOfRecord = ({ command }) => TABS[command] ?? 'draw';

/** The request of a record whose tab is open. */
export function requestOfRecord(record) {
  const tab = tabOfRecord(record);
  const { caption, seed, settings = {}, told = {} } = record;
  const { fields, unknown } = fieldsOfRecord(settings, derivedBy(record));
  const own = {
    draw: { prompt: caption },
    edit: { prompt: caption },
    diff: { from: told.from, to: told.to ?? caption, strength: told.strength, frames: told.frames },
    interpolate: {
      prompt_a: captionOnly(told.from), prompt_b: captionOnly(told.to), shared_noise: told.shared_noise, frames: told.frames,
    },
  };
  const all = { ...fields, ...own[tab], negative_prompt: told.negative, seed };
  const present = Object.entries(all).filter(([, value]) => value !== undefined && value !== null);
  return { request: { tab, fields: Object.fromEntries(present.map(([name, value]) => [name, `${value}`])) }, unknown };
}

/** In words what was recalled, and what was not. */
export function recalledWords(record, unknown) {
  const tab = tabOfRecord(record);
  const caption = record.caption ? ' the caption,' : '';
  const sentences = [`Recalled${caption} the seed ${record.seed} and the settings. The seed is locked.`];
  if (!TABS[record.command]) sentences.push(`It was drawn by “${record.command}”, which this page does not do.`);
  if (PLACES[tab]) sentences.push(`Give ${PLACES[tab]} again: a record does not hold them.`);
  if (tab === 'interpolate') sentences.push('Ends that were pictures have to be given again: a record does not hold them.');
  if (unknown.length > 0) sentences.push(`This page cannot set: ${unknown.join(', ')}.`);
  return sentences.join(' ');
}

/** Settings of a record that nobody chose: where images are inverted, the inversion sets them. */
function derivedBy({ command, told = {} }) {
  if (command === 'edit') return ['decoder_steps'];
  if (command === 'interpolate' && !told.shared_noise) return ['decoder_steps', 'decoder_guidance_scale'];
  return [];
}

/** The end of a way where it was a caption; the name of a file is of no use here. */
function captionOnly(end) {
  return /\.(png|jpe?g|webp|gif)$/i.test(end ?? '') ? undefined : end;
}
