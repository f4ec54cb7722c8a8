// The header, the buttons for all of the cluster, the sliders, and the events.

const EVENTS_KEPT = 120;
const PAUSE = 120; // milliseconds for which a slider rests before its value is sent

const byId = (id) => document.getElementById(id);

export class Controls {
  // order: sends an order to the server.
  constructor(order) {
    this.order = order;
    this.events = byId('events');
    this.picture = null;
    this.timer = null;
    byId('enqueue').addEventListener('submit', (event) => {
      event.preventDefault();
      order({ do: 'enqueue', text: byId('command').value.trim(), node: byId('through').value });
      byId('command').value = '';
    });
    byId('cut-leader').addEventListener('click', () => {
      order({ do: 'cut', node: this.picture.leader });
    });
    byId('heal').addEventListener('click', () => order({ do: 'heal' }));
    byId('attach').addEventListener('click', () => order({ do: 'attach' }));
    for (const id of ['latency', 'loss']) byId(id).addEventListener('input', () => this.tune());
  }

  tune() {
    this.showTuning();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.timer = null;
      this.order({
        do: 'tune',
        latency: Number(byId('latency').value) / 1000,
        loss: Number(byId('loss').value) / 100,
      });
    }, PAUSE);
  }

  showTuning() {
    byId('latency-value').textContent = `${byId('latency').value} ms`;
    byId('loss-value').textContent = `${byId('loss').value} %`;
  }

  draw(picture) {
    this.picture = picture;
    const leader = picture.nodes.find((node) => node.name === picture.leader);
    const members = picture.nodes.filter((node) => node.role !== 'down');
    const voters = picture.nodes.filter((node) => node.membership === 'voter').length;
    byId('leader').textContent = picture.leader ?? 'none';
    byId('term').textContent = Math.max(0, ...members.map((node) => node.term));
    byId('commit').textContent = Math.max(0, ...members.map((node) => node.commit_index));
    byId('voters').textContent = picture.stable ? voters : `${voters}, in joint consensus`;
    byId('cut-leader').disabled = leader === undefined || leader.is_cut_off;
    byId('heal').disabled = !picture.nodes.some((node) => node.is_cut_off);
    byId('attach').disabled = !picture.has_room;
    this.drawChoice(picture.nodes);
    if (this.timer === null) {
      byId('latency').value = Math.round(picture.latency * 1000);
      byId('loss').value = Math.round(picture.loss * 100);
      this.showTuning();
    }
  }

  drawChoice(nodes) {
    const choice = byId('through');
    for (const { name } of nodes.slice(choice.options.length - 1)) choice.add(new Option(name));
  }

  // seconds: since the demo began; null for what is only this page's.
  tell(seconds, text, isBad) {
    const atEnd = this.events.scrollHeight - this.events.scrollTop - this.events.clientHeight < 40;
    const item = document.createElement('li');
    const time = document.createElement('time');
    const words = document.createElement('span');
    time.textContent = seconds === null ? '' : seconds.toFixed(1);
    words.textContent = text;
    item.className = isBad ? 'bad' : '';
    item.append(time, words);
    this.events.append(item);
    while (this.events.childElementCount > EVENTS_KEPT) this.events.firstElementChild.remove();
    if (atEnd) this.events.scrollTop = this.events.scrollHeight;
  }

  forget() {
    this.events.replaceChildren();
  }
}
