// What the server tells goes to the parts of the page; what its reader does goes to the server.

import { Controls } from './controls.js';
import { Ring } from './ring.js';
import { Rows } from './rows.js';

const connection = document.getElementById('connection');

async function order(wanted) {
  // An order that is refused is an event like others; one that is taken has its own.
  try {
    const answer = await fetch('orders', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(wanted),
    });
    const { error } = await answer.json();
    if (error !== null) controls.tell(null, error, true);
  } catch {
    controls.tell(null, 'the demo does not answer', true);
  }
}

const controls = new Controls(order);
const rows = new Rows(document.getElementById('rows'), document.getElementById('ruler'), order);
const ring = new Ring(document.getElementById('ring'), (node) =>
  order({ do: node.is_cut_off ? 'heal' : 'cut', node: node.name }),
);

const stream = new EventSource('stream');
stream.onopen = () => {
  connection.textContent = '';
  controls.forget();
};
stream.onerror = () => {
  connection.textContent = 'No connection: is the demo still running?';
};
stream.onmessage = (message) => {
  const { picture, events = [], travels = [] } = JSON.parse(message.data);
  if (picture !== undefined) {
    controls.draw(picture);
    rows.draw(picture);
    ring.draw(picture);
  }
  for (const event of events) controls.tell(event.seconds, event.text, event.is_bad);
  ring.send(travels);
};
