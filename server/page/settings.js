// Settings that all drawing shares: model, quality, seed, number, size, steps and guidance.

import { byId, element, isHidden, setIcon } from './dom.js';
import { TASKS, defaultModel } from './tasks.js';

const BEST = 'quality';
const COUNTS = ['prior_candidates', 'candidates'];
/** The settings that size and preset stand for. */
const OTHERWISE_SET = ['width', 'height', 'solver', 'guidance_interval', 'resample'];
/** Text diffs are guided less than captions are. */
const DIFF_GUIDANCE = 2;

const settings = byId('settings');
const seed = byId('seed');
const lock = byId('seed-lock');
let capabilities = { models: [] };
let tab = 'draw';

export function startSettings() {
  byId('model').addEventListener('change', showModel);
  byId('stages').addEventListener('input', countAdvanced);
  byId('negative').addEventListener('input', countAdvanced);
  lock.addEventListener('click', () => lockSeed(!isLocked()));
  seed.addEventListener('input', () => lockSeed(seed.value.trim() !== ''));
}

export function setCapabilities(newCapabilities) {
  capabilities = newCapabilities;
  byId('count').max = capabilities.limits.n;
  for (const id of ['frames', 'diff-frames']) byId(id).max = capabilities.limits.frames;
}

/** Shows what means something in a tab. */
export function showSettings(newTab) {
  tab = newTab;
  settings.hidden = TASKS[tab].task === undefined;
  if (settings.hidden) return;
  for (const id of ['count-field', 'size-field', 'preset-field']) byId(id).hidden = TASKS[tab].hides.includes(id);
  showModels();
}

export function readSettings() {
  const fields = {};
  if (settings.hidden) return fields;
  for (const input of inputs()) {
    if (!isHidden(input) && input.value.trim() !== '') fields[input.dataset.field] = input.value.trim();
  }
  const preset = settings.querySelector('[name=preset]:checked');
  if (preset && !isHidden(preset)) fields.preset = preset.value;
  if (isLocked() && seed.value.trim() !== '') fields.seed = seed.value.trim();
  return fields;
}

/** Sets all as in a request's fields, and the model's own where they say nothing; the seed is locked. */
export function writeSettings(fields) {
  const model = byId('model');
  if ([...model.options].some((option) => option.value === fields.model)) model.value = fields.model;
  showModel();
  for (const input of inputs()) {
    if (input === model) continue;
    if (input.id === 'size') addSize(fields.size);
    input.value = fields[input.dataset.field] ?? input.defaultValue ?? '';
  }
  checkPreset(fields.preset ?? BEST);
  seed.value = fields.seed ?? '';
  lockSeed(fields.seed !== undefined);
  countAdvanced();
}

/** The seed that was drawn, where the user has not fixed another. */
export function showSeed(drawn) {
  if (!isLocked() || seed.value.trim() === '') seed.value = drawn;
}

/** The fields of a record's settings, but for what the server derives, and the names of those that this page cannot set. */
export function fieldsOfRecord(recorded, derived) {
  const model = currentModel();
  const fields = { preset: presetOf(recorded) };
  const unknown = [];
  for (const [name, value] of Object.entries(recorded)) {
    const field = fieldOf(name, model);
    if (OTHERWISE_SET.includes(name) || derived.includes(name)) continue;
    if (!field) unknown.push(name.replaceAll('_', ' '));
    else if (fields.preset !== BEST || `${value}` !== `${defaultOf(name, model)}`) fields[field] = `${value}`;
  }
  if (recorded.width && recorded.height) fields.size = `${recorded.width}x${recorded.height}`;
  return { fields, unknown };
}

const inputs = () => settings.querySelectorAll('[data-field]');

const isLocked = () => lock.getAttribute('aria-pressed') === 'true';

function lockSeed(locked) {
  lock.setAttribute('aria-pressed', locked);
  setIcon(lock, locked ? 'locked' : 'unlocked');
  byId('seed-hint').textContent = locked ? 'Locked: the same seed is used again.' : 'A new seed each time.';
}

function currentModel() {
  const { models } = capabilities;
  const id = byId('model').value || defaultModel(tab, capabilities);
  return models.find((model) => model.id === id) ?? models[0];
}

function showModels() {
  const select = byId('model');
  const chosen = select.value;
  const able = capabilities.models.filter((model) => model.can.includes(TASKS[tab].can));
  select.replaceChildren(...able.map(({ id, loaded }) =>
    element('option', { value: id }, loaded === false ? `${id} (loaded when first used)` : id)));
  const own = defaultModel(tab, capabilities);
  select.value = able.some((model) => model.id === chosen) && select.dataset.tab === tab ? chosen : own;
  select.dataset.tab = tab;
  byId('model-field').hidden = able.length < 2;
  showModel();
}

function showModel() {
  const model = currentModel();
  if (!model) return;
  byId('size').options[0].textContent = `own (${model.side})`;
  byId('negative-field').hidden = hides('negative-field') || !model.can.includes('negative_prompt');
  showPresets(model.presets ?? []);
  showStages(model);
  countAdvanced();
}

const hides = (id) => TASKS[tab].hides?.includes(id);

function showPresets(presets) {
  byId('preset-field').hidden = presets.length === 0 || hides('preset-field');
  const chosen = settings.querySelector('[name=preset]:checked')?.value ?? BEST;
  byId('presets').replaceChildren(...presets.flatMap((preset) => [
    element('input', { type: 'radio', name: 'preset', id: `preset-${preset}`, value: preset }),
    element('label', { htmlFor: `preset-${preset}` }, capitalized(preset)),
  ]));
  checkPreset(chosen);
}

function checkPreset(preset) {
  const radio = byId(`preset-${preset}`);
  if (radio) radio.checked = true;
}

function showStages(model) {
  const typed = new Map([...inputs()].map((input) => [input.dataset.field, input.value]));
  const names = [...model.stages.flatMap((stage) => [`${stage}_steps`, `${stage}_guidance_scale`]), ...COUNTS]
    .filter((name) => fieldOf(name, model) && model.defaults[name] !== undefined);
  byId('stages').replaceChildren(...names.map((name) => advancedField(name, model, typed)));
  byId('advanced').hidden = names.length === 0 && byId('negative-field').hidden;
}

function advancedField(name, model, typed) {
  const id = name.replaceAll('_', '-');
  const field = fieldOf(name, model);
  const words = capitalized(name.replace('guidance_scale', 'guidance').replaceAll('_', ' '));
  const input = element('input', {
    type: 'text', id, inputMode: 'decimal', autocomplete: 'off', placeholder: defaultOf(name, model), 'data-field': field,
  });
  input.value = typed.get(field) ?? '';
  const hidden = name.startsWith('prior_') && hides('stage-prior');
  return element('div', { className: 'field', hidden }, element('label', { htmlFor: id }, words), input);
}

function countAdvanced() {
  const advanced = byId('advanced');
  const set = [...advanced.querySelectorAll('[data-field]')].filter((input) => !isHidden(input) && input.value.trim() !== '');
  const count = set.length > 0 ? `, ${set.length} set` : '';
  advanced.querySelector('summary').textContent = `Advanced settings${count}`;
}

/** The field of a request that sets what models call "decoder_steps": the interface numbers the stages that draw. */
function fieldOf(name, model) {
  if (COUNTS.includes(name)) return name;
  const [, stage, what] = /^(.+)_(steps|guidance_scale)$/.exec(name) ?? [];
  const place = model.stages.filter((drawing) => drawing !== 'prior').indexOf(stage);
  const prefix = stage === 'prior' ? 'prior' : ['decoder', 'super_res'][place];
  if (!prefix) return undefined;
  if (what === 'steps') return `${prefix}_num_inference_steps`;
  return prefix === 'super_res' ? undefined : `${prefix}_guidance_scale`;
}

function defaultOf(name, model) {
  return tab === 'diff' && name === 'decoder_guidance_scale' ? DIFF_GUIDANCE : model.defaults[name];
}

/** Fast and balanced draw with another solver than the model's own, and fast guides for a part of the steps only, or draws with
 * distilled networks. */
function presetOf({ solver, guidance_interval: interval }) {
  if (solver === 'distilled') return 'fast';
  if (solver !== 'dpm-solver++') return BEST;
  return interval ? 'fast' : 'balanced';
}

function addSize(size) {
  const select = byId('size');
  if (!size || size === 'auto' || [...select.options].some((option) => option.value === size)) return;
  select.append(element('option', { value: size }, size.replace('x', ' × ')));
}

const capitalized = (text) => text.charAt(0).toUpperCase() + text.slice(1);
