// The ring: nodes, the links between them, and the messages that move along these.

import { roleOf, termClass } from './words.js';

const WIDE = { width: 800, height: 400, radius: 268 };
const NARROW = { width: 470, height: 430, radius: 164 };
const DISC = 46;
const MARGIN = { top: 74, bottom: 58 }; // from the centre of a disc to the edge
const CROWD = { size: 7, scale: 0.84 }; // above that many nodes, each is drawn that much smaller
const AWAY = 10; // pixels by which a node that is cut off is farther outside
const LEAST = 140; // milliseconds that a message takes at least, to be seen
const FADE = 450; // milliseconds for which the end of a lost message is seen
const MESSAGES = 160; // drawn at a time
const BESIDE = 6; // pixels by which messages keep to one side of the link

const still = matchMedia('(prefers-reduced-motion: reduce)');
const narrow = matchMedia('(max-width: 720px)');

function shape(name, attributes) {
  const element = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

export class Ring {
  // onClick: called with a node that was clicked on.
  constructor(svg, onClick) {
    [this.links, this.discs, this.layer] = svg.querySelectorAll('g');
    this.svg = svg;
    this.onClick = onClick;
    this.nodes = new Map();
    this.wires = new Map();
    this.moving = new Set();
    this.isRunning = false;
    this.picture = null;
    narrow.addEventListener('change', () => this.picture && this.draw(this.picture));
  }

  draw(picture) {
    this.picture = picture;
    const size = narrow.matches ? NARROW : WIDE;
    this.svg.setAttribute('viewBox', `0 0 ${size.width} ${size.height}`);
    picture.nodes.forEach((node, place) => {
      if (!this.nodes.has(node.name)) this.nodes.set(node.name, new Disc(node.name, this.discs, this.onClick));
      this.nodes.get(node.name).draw(node, position(place, picture.nodes, size), scaleOf(picture.nodes));
    });
    const discs = [...this.nodes.values()];
    discs.forEach((one, place) => {
      for (const other of discs.slice(0, place)) this.drawLink(other, one);
    });
  }

  drawLink(one, other) {
    const name = `${one.name} ${other.name}`;
    if (!this.wires.has(name)) {
      this.wires.set(name, shape('line', {}));
      this.links.append(this.wires.get(name));
    }
    const line = this.wires.get(name);
    const isCut = one.node.is_cut_off !== other.node.is_cut_off;
    const isOff = [one, other].some(({ kind }) => kind === 'down' || kind === 'detached');
    line.setAttribute('class', `link ${isCut ? 'cut' : ''} ${isOff ? 'off' : ''}`);
    const ends = { x1: one.x, y1: one.y, x2: other.x, y2: other.y };
    for (const [key, value] of Object.entries(ends)) line.setAttribute(key, value);
  }

  // travels: as the server writes them, see network.py.
  send(travels) {
    if (document.hidden) return;
    for (const travel of travels) {
      const [, kind, isReply, isYes, sender, receiver, seconds, fate] = travel;
      const [from, to] = [this.nodes.get(sender), this.nodes.get(receiver)];
      if (from === undefined || to === undefined || this.moving.size >= MESSAGES) continue;
      if (still.matches) {
        if (kind !== 'Heartbeat') this.light(sender, receiver);
        continue;
      }
      const mark = sign(kind, isReply, isYes, from.node.term);
      this.layer.append(mark);
      const length = Math.max(LEAST, seconds * 1000);
      this.moving.add({ mark, from, to, length, fate, began: performance.now() });
    }
    if (this.moving.size && !this.isRunning) {
      this.isRunning = true;
      requestAnimationFrame((now) => this.move(now));
    }
  }

  // Without motion, a link that carries something is drawn thicker for a while.
  light(one, other) {
    const line = this.wires.get(`${one} ${other}`) ?? this.wires.get(`${other} ${one}`);
    line.classList.add('busy');
    setTimeout(() => line.classList.remove('busy'), 600);
  }

  move(now) {
    for (const message of this.moving) {
      const passed = (now - message.began) / message.length;
      const isGone = message.fate !== 'delivered' && passed >= 0.5;
      if (isGone && !message.end) {
        message.end = now;
        message.mark.replaceWith((message.mark = shape('path', { class: 'gone', d: 'M-5-5 5 5M5-5-5 5' })));
      }
      const faded = isGone ? (now - message.end) / FADE : 0;
      if (passed >= 1 && !isGone || faded >= 1) {
        message.mark.remove();
        this.moving.delete(message);
        continue;
      }
      const { x, y } = between(message.from, message.to, isGone ? 0.5 : Math.max(0, passed));
      message.mark.setAttribute('transform', `translate(${x.toFixed(1)} ${y.toFixed(1)})`);
      if (isGone) message.mark.setAttribute('opacity', (1 - faded).toFixed(2));
    }
    this.isRunning = this.moving.size > 0;
    if (this.isRunning) requestAnimationFrame((then) => this.move(then));
  }
}

class Disc {
  constructor(name, layer, onClick) {
    this.name = name;
    this.group = shape('g', {});
    this.title = shape('title', {});
    this.role = shape('text', { class: 'role', y: 12 });
    this.term = shape('text', { y: 27 });
    const text = shape('text', { class: 'name', y: -5 });
    text.textContent = name;
    this.group.append(
      this.title,
      shape('circle', { class: 'moat', r: DISC + 8 }),
      shape('circle', { class: 'disc', r: DISC }),
      shape('path', { class: 'crown', d: 'M-13-42-17-60-7-53 0-65 7-53 17-60 13-42z' }),
      text,
      this.role,
      this.term,
    );
    this.group.addEventListener('click', () => onClick(this.node));
    layer.append(this.group);
  }

  draw(node, { x, y }, scale) {
    const { kind, name } = roleOf(node);
    Object.assign(this, { node, kind, x, y, edge: DISC * scale });
    this.group.style.transform = `translate(${x}px, ${y}px) scale(${scale})`;
    this.group.setAttribute('class', `node ${kind} ${termClass(node.term)} ${node.is_cut_off ? 'cut' : ''}`);
    this.role.textContent = name;
    this.term.textContent = `term ${node.term}`;
    this.title.textContent = `${node.name}: click to ${node.is_cut_off ? 'heal' : 'cut off'}`;
  }
}

function scaleOf(nodes) {
  return nodes.length > CROWD.size ? CROWD.scale : 1;
}

// The ring fills the picture from its top to its bottom, however many nodes there are.
function position(place, nodes, size) {
  const angleOf = (number) => (2 * Math.PI * number) / nodes.length - Math.PI / 2;
  const lowest = Math.sin(angleOf(Math.floor(nodes.length / 2)));
  const radius = (size.height - MARGIN.top - MARGIN.bottom) / (1 + lowest);
  const away = nodes[place].is_cut_off ? AWAY : 0;
  const angle = angleOf(place);
  return {
    x: Math.round(size.width / 2 + (size.radius + away) * Math.cos(angle)),
    y: Math.round(MARGIN.top + radius + (radius + away / 2) * Math.sin(angle)),
  };
}

// The place of a message that has gone that share of its way, from edge to edge.
function between(from, to, share) {
  const [dx, dy] = [to.x - from.x, to.y - from.y];
  const length = Math.hypot(dx, dy) || 1;
  const way = from.edge + (length - from.edge - to.edge) * share;
  return {
    x: from.x + (dx * way - dy * BESIDE) / length,
    y: from.y + (dy * way + dx * BESIDE) / length,
  };
}

function sign(kind, isReply, isYes, term) {
  if (isReply) {
    const quiet = kind === 'Heartbeat' ? ' quiet' : '';
    return shape('circle', { class: `reply ${isYes ? 'yes' : 'no'}${isYes ? quiet : ''}`, r: quiet ? 3 : 4.5 });
  }
  if (kind === 'Heartbeat') return shape('circle', { class: 'heartbeat', r: 3.5 });
  const diamond = 'M0-8 8 0 0 8-8 0z';
  if (kind === 'RequestVote') return shape('path', { class: 'vote', d: diamond });
  if (kind === 'RequestPreVote') return shape('path', { class: 'pre-vote', d: diamond });
  const isEntries = kind === 'AppendEntries' || kind === 'InstallSnapshot';
  const named = isEntries ? `append ${termClass(term)}` : 'other';
  return shape('rect', { class: named, x: -6.5, y: -6.5, width: 13, height: 13, rx: 2.5 });
}
