// What the demo pages share: forms, pictures, lists and buttons. Whatever a peer may have chosen is put on the page as
// text, never as HTML.

const names = ['Ada', 'Emmy', 'Grace', 'Hedy', 'Karen', 'Lise', 'Marie', 'Mary', 'Rosalind', 'Sofia'];

export const $ = (id) => document.getElementById(id);

/** Make an element with text in it, and with properties. */
export function element(tag, text = '', properties = {}) {
    return Object.assign(document.createElement(tag), { textContent: text }, properties);
}

/** Tell what is going on; screen readers read it out. */
export function say(text, kind = 'muted') {
    $('status').textContent = text;
    $('status').className = kind;
}

export const fail = (error) => say(error.message ?? String(error), 'failed');

/**
 * Fill in what the address says, and a name; call `start(choices)` when the form is sent. The links to the other
 * pages carry the channel from then on.
 */
export function prepare(start) {
    const form = $('join');
    const given = new URLSearchParams(location.search);
    const person = form.elements.name ?? form.elements.user;
    const { channel, relay } = form.elements;
    person.value = given.get('name') || `${names[Math.floor(Math.random() * names.length)]} ${number()}`;
    channel.value = given.get('channel') || channel.value;
    relay.checked = given.get('relay') === '1';
    const carry = () => carryChannel(channel.value, relay.checked);
    form.addEventListener('input', carry);
    carry();
    const possible = () => !(relay.checked && 'impossible' in relay.dataset);
    const judge = () => (possible() ? say('Ready.') : fail('No TURN server is configured here: nothing can be relayed.'));
    relay.addEventListener('change', judge);
    judge();
    form.addEventListener('submit', (event) => {
        event.preventDefault();
        if (!possible()) return judge();
        form.querySelector('button').disabled = true; // until showCall
        const choices = Object.fromEntries(new FormData(form));
        start({ ...choices, relay: relay.checked });
    });
}

const number = () => 100 + Math.floor(Math.random() * 900);

function carryChannel(channel, relay) {
    const query = new URLSearchParams({ channel, ...(relay && { relay: 1 }) });
    for (const link of document.querySelectorAll('a[href^="/demo/"]')) link.search = query;
}

/** Show the call instead of the form, or the form again, with the focus on the button that leads back. */
export function showCall(shown) {
    const start = $('join').querySelector('button');
    $('join').hidden = shown;
    $('call').hidden = !shown;
    start.disabled = false;
    (shown ? $('leave') : start).focus();
}

/** Show what this page sends; a camera like in a mirror. */
export function showOwn(name, media) {
    if (!media) return;
    const caption = `${name} (you)`;
    showTile('', media.stream, { caption, mirrored: !media.sharing, muted: true }); // nobody else has an empty name
}

/** Show a stream under its sender's name, or another caption. */
export function showTile(sender, stream, { caption = sender, mirrored = false, muted = false } = {}) {
    const tile = tileOf(sender) ?? newTile(sender, caption);
    const video = tile.querySelector('video');
    video.classList.toggle('mirrored', mirrored);
    video.controls = !mirrored; // they would be mirrored, too
    video.muted = muted;
    if (video.srcObject !== stream) video.srcObject = stream;
    video.play().catch(() => {}); // where the browser wants to be asked first, it shows a button
    return tile;
}

export function hideTile(sender) {
    tileOf(sender)?.remove();
}

function tileOf(sender) {
    return [...$('tiles').children].find((tile) => tile.dataset.sender === sender);
}

function newTile(sender, caption) {
    const tile = element('li');
    tile.dataset.sender = sender;
    const video = element('video', '', { autoplay: true, playsInline: true, controls: true });
    video.setAttribute('aria-label', caption);
    tile.append(video, element('p', caption));
    $('tiles').append(tile);
    return tile;
}

/** List names with a word on each. */
export function list(target, entries, empty) {
    const items = entries.map(([name, state]) => {
        const item = element('li', name);
        if (state) item.append(' ', element('span', state, { className: state === 'connected' ? 'ok' : 'muted' }));
        return item;
    });
    target.replaceChildren(...(items.length ? items : [element('li', empty, { className: 'muted' })]));
}

/** Names and states of connections, for `list`. */
export function states(connections) {
    return [...connections].map(([peer, connection]) => [peer, connection.connectionState]);
}
