// A row for each node: what it is, its buttons, and the end of its log.

import { clean, roleOf, termClass } from './words.js';

const CELL = 33; // pixels from one cell to the next
const SIGNS = { 'no-op': '∅', session: '§', configuration: 'C' };

export class Rows {
  // list: where the rows are. ruler: where the indexes are. order: sends an order.
  constructor(list, ruler, order) {
    this.list = list;
    this.ruler = ruler;
    this.order = order;
    this.rows = new Map();
    this.picture = null;
    new ResizeObserver(() => this.picture && this.draw(this.picture)).observe(ruler);
  }

  draw(picture) {
    this.picture = picture;
    const last = Math.max(1, ...picture.nodes.map((node) => node.log.at(-1)?.[0] ?? 0));
    const room = Math.max(1, Math.floor((this.ruler.clientWidth + 3) / CELL));
    const first = Math.max(1, last - room + 1);
    this.drawRuler(first, room);
    for (const node of picture.nodes) {
      if (!this.rows.has(node.name)) {
        this.rows.set(node.name, new Row(node.name, this.order));
        this.list.append(this.rows.get(node.name).element);
      }
      this.rows.get(node.name).draw(node, first, room);
    }
  }

  drawRuler(first, room) {
    while (this.ruler.childElementCount > room) this.ruler.lastElementChild.remove();
    while (this.ruler.childElementCount < room) this.ruler.append(document.createElement('span'));
    [...this.ruler.children].forEach((span, place) => setText(span, String(first + place)));
  }
}

class Row {
  constructor(name, order) {
    this.node = null;
    this.element = document.createElement('li');
    this.element.id = `node-${name}`;
    this.badge = add(add(this.element, 'div', 'who'), 'span', 'badge');
    this.badge.textContent = name;
    this.what = add(this.badge.parentElement, 'span', 'what');
    this.numbers = add(this.badge.parentElement, 'span', 'numbers');
    const buttons = add(this.element, 'div', 'buttons');
    this.cut = this.button(buttons, () => order({ do: this.node.is_cut_off ? 'heal' : 'cut', node: name }));
    this.kill = this.button(buttons, () => order({ do: this.isDown() ? 'restart' : 'kill', node: name }));
    this.detach = this.button(buttons, () => order({ do: this.isMember() ? 'detach' : 'attach', node: name }));
    this.log = add(this.element, 'div', 'log');
    this.log.setAttribute('role', 'img');
  }

  isDown() {
    return this.node.role === 'down';
  }

  isMember() {
    return this.node.membership !== '';
  }

  button(parent, action) {
    const button = add(parent, 'button', '');
    button.type = 'button';
    button.addEventListener('click', action);
    return button;
  }

  draw(node, first, room) {
    this.node = node;
    const role = roleOf(node);
    this.element.className = `${role.kind} ${termClass(node.term)}`;
    this.element.dataset.role = node.role;
    setText(this.what, node.is_cut_off ? `${role.name}, cut off` : role.name);
    setText(this.numbers, `term ${node.term} · commit ${node.commit_index} · applied ${node.applied_index}`);
    label(this.cut, node.is_cut_off ? 'Heal' : 'Cut off', node.name);
    label(this.kill, this.isDown() ? 'Restart' : 'Kill', node.name);
    label(this.detach, this.isMember() ? 'Detach' : 'Attach', node.name);
    this.detach.disabled = !this.isMember() && node.role !== 'detached';
    this.drawLog(node, first, room);
  }

  drawLog(node, first, room) {
    const committed = this.isDown() ? Infinity : node.commit_index; // nobody knows, of one that is down
    const entries = new Map(node.log.map((entry) => [entry[0], entry]));
    while (this.log.childElementCount > room) this.log.lastElementChild.remove();
    while (this.log.childElementCount < room) add(this.log, 'span', 'cell none');
    [...this.log.children].forEach((cell, place) => {
      drawCell(cell, entries.get(first + place), committed);
    });
    const count = node.log.at(-1)?.[0] ?? 0;
    const text = `Log of ${node.name}: last index ${count}, commit index ${node.commit_index}`;
    if (this.log.ariaLabel !== text) this.log.ariaLabel = text;
  }
}

function drawCell(cell, entry, commitIndex) {
  const key = entry === undefined ? '' : `${entry.join(' ')} ${entry[0] <= commitIndex}`;
  if (cell.dataset.key === key) return;
  cell.dataset.key = key;
  if (entry === undefined) {
    cell.className = 'cell none';
    cell.textContent = cell.title = cell.dataset.term = '';
    return;
  }
  const [index, term, kind, parameters] = entry;
  const isCommand = kind === 'command';
  const text = isCommand ? clean(JSON.parse(parameters)) : SIGNS[kind];
  const isPending = index > commitIndex;
  const classes = ['cell', termClass(term)];
  if (!isCommand) classes.push('internal');
  if (isPending) classes.push('pending');
  if (text.length > 2) classes.push('long');
  if (cell.classList.contains('none')) classes.push('new');
  cell.className = classes.join(' ');
  cell.dataset.term = term;
  cell.textContent = text.length > 4 ? `${text.slice(0, 3)}…` : text;
  cell.title = `${index}: ${isCommand ? text : kind}, term ${term}, ${isPending ? 'not committed' : 'committed'}`;
}

function add(parent, name, className) {
  const element = document.createElement(name);
  element.className = className;
  parent.append(element);
  return element;
}

function label(button, text, name) {
  setText(button, text);
  if (button.ariaLabel !== `${text} ${name}`) button.ariaLabel = `${text} ${name}`;
}

function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
