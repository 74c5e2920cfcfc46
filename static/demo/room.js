// A call of everybody in the room, with chat.

import { Broadcaster, Viewer, connect } from './client.js';
import { prepareControls, resetControls, showMedia } from './controls.js';
import { Media, quality } from './media.js';
import { $, element, fail, hideTile, list, prepare, say, showCall, showOwn, showTile } from './page.js';
import { showStatistics } from './statistics.js';

let media, socket, broadcaster, viewer, room, me;
let streams = new Map(); // what each was published with
let participants = new Map(); // names, by name and time of joining: one person may be here twice

async function start({ channel, account, user, pin, quality: height, relay }) {
    room = channel;
    me = user;
    const stream = `${room}-${user}`; // a stream's id is the name of its channel
    const parameters = { type: 'webrtc', ...quality(height) };
    media = new Media(parameters, {
        replaced: (track) => broadcaster?.replaceTrack(track).catch(fail),
        changed: () => {
            showOwn(user, media);
            showMedia(media);
        },
    });
    say('Asking for the camera…');
    await media.open();
    showCall(true);

    say('Connecting…');
    const join = () => socket.emit('roomJoin', { room });
    const joined = () => {
        join();
        socket.emit('roomPublish', { room, stream, parameters });
    };
    socket = connect({ account, user, pin }, { joined, ended: stop, say });
    broadcaster = new Broadcaster(socket, {
        name: user, channel: stream, stream: media.stream, bitrate: parameters.bitrate, relay, failed: fail,
    });
    viewer = new Viewer(socket, {
        relay,
        expects: (sender, channel) => streams.get(channel)?.user === sender,
        show: (sender, picture) => showTile(sender, picture),
        hide: hideTile,
        lost: () => setTimeout(() => socket?.connected && join(), 5000), // announces us again, no sooner than that
        changed: showParticipants,
        failed: fail,
    });
    socket.on('roomUpdate', update);
    socket.on('publishError', ({ message }) => fail(message));
}

function stop(reason) {
    socket?.disconnect();
    broadcaster?.close();
    viewer?.close();
    media?.close();
    socket = broadcaster = viewer = media = undefined;
    $('tiles').replaceChildren();
    $('chat').replaceChildren();
    resetControls();
    showCall(false);
    reason ? fail(reason) : say('You left.');
}

/** Each `roomUpdate` brings the whole state, or one change. */
function update(news) {
    if (news.type === 'roomJoin') {
        participants = new Map(Object.values(news.participants).map((one) => [key(one), one.name]));
        streams = new Map(Object.entries(news.streams));
        const gone = [...viewer.channels.values()].filter((channel) => !streams.has(channel));
        gone.forEach((channel) => viewer.leave(channel)); // while this page was away
        $('chat').replaceChildren(...news.messages.map(line));
        say(`You are in ${room}.`, 'ok');
    }
    if (news.participantJoin) participants.set(key(news.participantJoin), news.participantJoin.name);
    if (news.participantLeft) participants.delete(key(news.participantLeft));
    if (news.streamNew) streams.set(news.streamNew.streamId, news.streamNew);
    if (news.streamRemove) {
        streams.delete(news.streamRemove);
        viewer.leave(news.streamRemove);
    }
    if (news.messageNew) $('chat').append(line(news.messageNew));
    if (news.error) fail(news.error);
    $('chat').parentElement.scrollTop = $('chat').scrollHeight;
    showParticipants();
    showStreams();
}

const key = ({ name, joinedAt }) => `${joinedAt} ${name}`;

function showParticipants() {
    const states = viewer?.connections ?? new Map();
    const names = [...new Set(participants.values())];
    const entries = names.map((name) => [name, name === me ? 'you' : states.get(name)?.connectionState]);
    list($('peers'), entries, 'Nobody yet.');
}

/** A line of chat; what people wrote is text, whatever it looks like. */
function line({ user, text, timestamp }) {
    const item = element('li');
    const time = element('time', new Date(timestamp).toLocaleTimeString([], { timeStyle: 'short' }));
    time.dateTime = new Date(timestamp).toISOString();
    item.append(element('b', user), ' ', time, element('p', typeof text === 'string' ? text : ''));
    return item;
}

/** List what each stream was published with, for those who write clients. */
function showStreams() {
    const lines = [...streams].map(([id, details]) => {
        const item = element('li');
        item.append(element('b', id), element('pre', JSON.stringify(details, null, 1)));
        return item;
    });
    $('streams').replaceChildren(...lines);
}

prepare((choices) => start(choices).catch((error) => stop(error)));
prepareControls(() => media);
$('leave').addEventListener('click', () => stop());
$('say').addEventListener('submit', (event) => {
    event.preventDefault();
    const { text } = event.target.elements;
    socket?.emit('roomMessage', { room, message: { text: text.value } });
    text.value = '';
});
showStatistics($('statistics').tBodies[0], () => ({ in: viewer?.connections, out: broadcaster?.connections }));
