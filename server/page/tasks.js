// The seven tabs: what each asks of the server and of its models.

/**
 * `task` is a job's, `route` answers at once. `can` is what a model must be able to do. `hides` are settings that mean nothing
 * there, and `way` says that the images are frames of one way.
 */
export const TASKS = {
  draw: {
    task: 'generations', can: 'generations', button: 'Draw', hides: [],
    cannot: 'No model of this server draws from a caption.',
  },
  vary: {
    task: 'variations', can: 'variations', button: 'Vary', hides: ['stage-prior', 'negative-field'],
    cannot: 'No model of this server varies a picture.',
  },
  interpolate: {
    task: 'interpolations', can: 'interpolations', button: 'Interpolate', hides: ['count-field', 'negative-field'], way: true,
    cannot: 'No model of this server interpolates.',
  },
  edit: {
    task: 'edits', can: 'edits', button: 'Paint', hides: ['size-field'],
    cannot: 'No model of this server paints a part of a picture anew.',
  },
  diff: {
    task: 'edits/text', can: 'edits/text', button: 'Edit by text', way: true,
    hides: ['count-field', 'size-field', 'preset-field', 'stage-prior', 'negative-field'],
    cannot: 'No model of this server edits by the difference of two captions.',
  },
  classify: {
    route: '/v1/images/classifications', can: 'classifications', button: 'Classify',
    cannot: 'No model of this server classifies pictures.',
  },
  search: {
    route: '/v1/images/search', button: 'Search',
    cannot: 'This server has no folder to search.',
  },
};

/** The uses of an image: the tab and its slot. */
export const USES = [
  { name: 'Vary', tab: 'vary', slot: 'vary-image' },
  { name: 'Interpolate from', tab: 'interpolate', slot: 'image-a' },
  { name: 'Interpolate to', tab: 'interpolate', slot: 'image-b' },
  { name: 'Paint a part', tab: 'edit', slot: 'edit-image' },
  { name: 'Text diff', tab: 'diff', slot: 'diff-image' },
  { name: 'Classify', tab: 'classify', slot: 'classify-image' },
  { name: 'Search for similar', tab: 'search', slot: 'search-image' },
];

/** A reason in words where the server cannot do what a tab asks; null where it can. */
export function reasonAgainst(tab, capabilities) {
  const { can, cannot } = TASKS[tab];
  const able = tab === 'search' ? capabilities.search : capabilities.models.some((model) => model.can.includes(can));
  return able ? null : cannot;
}

/** The model that draws a tab's images where the request names none. */
export function defaultModel(tab, { tasks = {}, models }) {
  const { task, can } = TASKS[tab];
  return tasks[task] ?? tasks[can] ?? models.find((model) => model.can.includes(can))?.id;
}
