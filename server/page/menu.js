// The menu of what an image can be used for.

import { byId, element } from './dom.js';

const menu = byId('use-menu');
let opener = null;

export function startMenu() {
  menu.addEventListener('keydown', moveByKey);
  menu.addEventListener('toggle', (event) => {
    opener?.setAttribute('aria-expanded', event.newState === 'open');
  });
}

export const isMenuOpen = () => menu.matches(':popover-open');

/** Opens the menu below a button, with `uses` by their names; `choose` hears which. */
export function openMenu(button, uses, choose) {
  opener = button;
  menu.replaceChildren(...uses.map((use) => {
    const item = element('button', { type: 'button', role: 'menuitem', tabIndex: -1 }, use.name);
    item.addEventListener('click', () => {
      menu.hidePopover();
      choose(use);
    });
    return item;
  }));
  menu.showPopover();
  placeBelow(button);
  menu.firstElementChild?.focus();
}

function placeBelow(button) {
  const at = button.getBoundingClientRect();
  const { offsetWidth: width, offsetHeight: height } = menu;
  const { clientWidth, clientHeight } = document.documentElement;
  const below = at.bottom + 4 + height <= clientHeight || at.top < height;
  menu.style.left = `${scrollX + Math.max(8, Math.min(at.left, clientWidth - width - 8))}px`;
  menu.style.top = `${scrollY + (below ? at.bottom + 4 : at.top - height - 4)}px`;
}

function moveByKey(event) {
  const items = [...menu.children];
  const at = items.indexOf(document.activeElement);
  const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: -1 }[event.key];
  if (event.key === 'Tab') {
    event.preventDefault();
    menu.hidePopover();
  } else if (to !== undefined) {
    event.preventDefault();
    items.at(to % items.length).focus();
  }
}
