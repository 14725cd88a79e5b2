// The tabs: one panel at a time, arrow keys between them, the address says which.

import { byId } from './dom.js';

const tabs = [...byId('tabs').querySelectorAll('[role=tab]')];
let onSelect = () => {};

export const currentTab = () => byId('main').dataset.tab;

export const tabButton = (name) => tabs.find((tab) => tab.dataset.tab === name);

export const panelOf = (name) => byId(`panel-${name}`);

export function selectTab(name) {
  for (const tab of tabs) {
    const selected = tab.dataset.tab === name;
    tab.setAttribute('aria-selected', selected);
    tab.tabIndex = selected ? 0 : -1;
    panelOf(tab.dataset.tab).hidden = !selected;
  }
  byId('main').dataset.tab = name;
  history.replaceState(null, '', name === 'draw' ? location.pathname : `#${name}`);
  onSelect(name);
}

export function startTabs(listener) {
  onSelect = listener;
  byId('tabs').addEventListener('click', (event) => {
    const tab = event.target.closest('[role=tab]');
    if (tab) selectTab(tab.dataset.tab);
  });
  byId('tabs').addEventListener('keydown', moveByKey);
  addEventListener('hashchange', selectFromAddress);
  selectFromAddress();
}

function selectFromAddress() {
  const named = tabButton(location.hash.slice(1));
  selectTab(named && !named.hidden ? named.dataset.tab : 'draw');
}

function moveByKey(event) {
  const shown = tabs.filter((tab) => !tab.hidden);
  const at = shown.indexOf(document.activeElement);
  const to = { ArrowRight: at + 1, ArrowDown: at + 1, ArrowLeft: at - 1, ArrowUp: at - 1, Home: 0, End: -1 }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  const tab = shown.at(to % shown.length);
  selectTab(tab.dataset.tab);
  tab.focus();
}
