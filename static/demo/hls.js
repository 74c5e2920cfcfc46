// Play a stream over HLS, by hls.js where the browser can feed a video from a script, else as the browser does itself.

import { $, fail, say, showCall } from './page.js';

const TYPE = 'application/vnd.apple.mpegurl';
const AGAIN = 3000; // milliseconds until a stream that is not live is asked for again

const REFUSALS = {
    Forbidden: 'Not let in: the token or the pin is wrong, or the account is suspended.',
    'Unfit: streamPlayers.': 'The account has as many viewers as its plan allows.',
};

const form = $('join');
const video = $('video');
let playing; // { close(), behind? } while something is played, or waited for

async function start() {
    const { account, stream, token, pin } = Object.fromEntries(new FormData(form));
    const path = `/hls/${encodeURIComponent(account)}/${encodeURIComponent(stream)}/index.m3u8`;
    const turn = (playing = { close() {} });
    $('caption').textContent = `${account}/${stream}`;
    say('Connecting…');
    try {
        const Hls = await library();
        const { status, text, address } = await open(path, pin ? { pin } : { token });
        if (playing !== turn) return; // it was stopped in the meantime
        $('player').textContent = Hls ? `hls.js ${Hls.version}` : 'the browser';
        showCall(true);
        if (status === 403 || status === 429) stop(REFUSALS[text] ?? text);
        else if (address) playing = Hls ? playByScript(Hls, address) : playByBrowser(address);
        else askAgain('Not live yet');
    } catch (error) {
        if (playing === turn) stop(error.message);
    }
}

/** Become a viewer: `address` has the viewer's session instead of the secret. A reload takes no second place. */
async function open(path, key) {
    const replaces = sessionStorage.getItem('viewer') ?? '';
    const answer = await fetch(`${path}?${new URLSearchParams({ ...key, replaces })}`).catch(() => undefined);
    const text = await answer?.text();
    if (!answer?.ok) return { status: answer?.status, text };
    const [, session] = /[?]session=([\w-]+)/.exec(text);
    sessionStorage.setItem('viewer', session);
    return { status: answer.status, text, address: `${path}?session=${session}` };
}

/** Load hls.js; undefined where the browser does without, or has to. */
async function library() {
    const MediaSource = window.ManagedMediaSource ?? window.MediaSource;
    if (MediaSource && form.dataset.library) return (await import(form.dataset.library)).default;
    if (video.canPlayType(TYPE)) return undefined;
    throw new Error('This browser needs hls.js, which is not here yet: deploy/setup.sh fetches it.');
}

function playByScript(Hls, address) {
    const hls = new Hls({ enableWorker: false }); // a worker would be made from a blob, which the page's policy forbids
    const self = {
        close: () => hls.destroy(),
        behind: () => hls.latency,
    };
    hls.on(Hls.Events.ERROR, (_, { fatal, type }) => {
        if (!fatal || playing !== self) return;
        if (type === Hls.ErrorTypes.MEDIA_ERROR) hls.recoverMediaError();
        else askAgain();
    });
    hls.attachMedia(video);
    hls.loadSource(address);
    return self;
}

function playByBrowser(address) {
    const self = {
        close: () => {
            video.onerror = null;
            video.removeAttribute('src');
            video.load();
        },
    };
    video.onerror = () => askAgain();
    video.src = address;
    video.play().catch(() => {}); // where the browser wants to be asked first, it shows a button
    return self;
}

/** Ask again, for a session that has ended and a broadcast that has not begun. */
function askAgain(why = 'The stream broke off') {
    say(`${why}: asking again.`);
    playing.close();
    const waiting = setTimeout(start, AGAIN);
    playing = { close: () => clearTimeout(waiting) };
}

function stop(message) {
    playing?.close();
    playing = undefined;
    showCall(false);
    if (message) fail(message);
    else say('Stopped.');
}

function showStatistics() {
    if (!playing) return;
    const { totalVideoFrames, droppedVideoFrames } = video.getVideoPlaybackQuality();
    const ahead = video.buffered.length ? video.buffered.end(video.buffered.length - 1) - video.currentTime : 0;
    const behind = playing.behind?.();
    $('picture').textContent = video.videoWidth ? `${video.videoWidth}x${video.videoHeight}` : 'none yet';
    $('pictures').textContent = `${totalVideoFrames}, ${droppedVideoFrames}`;
    $('ready').textContent = `${ahead.toFixed(1)} s`;
    $('behind').textContent = behind ? `${behind.toFixed(1)} s` : 'unknown';
}

function showKey() {
    const { account, stream, token } = Object.fromEntries(new FormData(form));
    const key = token ? `token=${encodeURIComponent(token)}` : 'pin=its broadcast pin';
    $('key').textContent = `${account}/${stream}?${key}`;
}

if (form) {
    const given = new URLSearchParams(location.search);
    for (const name of ['account', 'stream']) form.elements[name].value = given.get(name) || form.elements[name].value;
    form.addEventListener('input', showKey);
    form.addEventListener('submit', (event) => {
        event.preventDefault();
        form.querySelector('button').disabled = true; // until showCall
        start();
    });
    $('leave').addEventListener('click', () => stop());
    video.addEventListener('playing', () => say('Playing.', 'ok'));
    video.addEventListener('canplay', () => video.play().catch(() => {}));
    setInterval(showStatistics, 1000);
    showKey();
}
