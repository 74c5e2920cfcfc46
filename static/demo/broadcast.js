// Send a camera or a screen to everybody who watches the channel.

import { Broadcaster, connect } from './client.js';
import { prepareControls, resetControls, showMedia } from './controls.js';
import { Media, quality } from './media.js';
import { $, fail, list, prepare, say, showCall, showOwn, states } from './page.js';
import { showStatistics } from './statistics.js';

let media, socket, broadcaster;

async function start({ channel, name, token, quality: height, relay }) {
    const { bitrate, ...picture } = quality(height);
    media = new Media(picture, {
        replaced: (track) => broadcaster?.replaceTrack(track).catch(fail),
        changed: () => {
            showOwn(name, media);
            showMedia(media);
        },
    });
    say('Asking for the camera…');
    await media.open();
    showCall(true);

    say('Connecting…');
    const publish = () => socket.emit('publish', name, channel, { ...picture, bitrate });
    socket = connect({ token }, { joined: publish, ended: stop, say });
    broadcaster = new Broadcaster(socket, {
        name, channel, stream: media.stream, bitrate, relay, changed: showViewers, failed: fail,
    });
    socket.on('message', ({ type, target }) => {
        if (type === 'peers' && target === name) say(`Live in ${channel}.`, 'ok');
    });
    socket.on('publishError', ({ message }) => stop(message));
    socket.on('unpublish', () => stop('The server ended the broadcast.'));
    showViewers();
}

function stop(reason) {
    socket?.disconnect();
    broadcaster?.close();
    media?.close();
    socket = broadcaster = media = undefined;
    $('tiles').replaceChildren();
    resetControls();
    showCall(false);
    reason ? fail(reason) : say('Stopped.');
}

function showViewers() {
    list($('peers'), states(broadcaster?.connections ?? []), 'Nobody yet.');
}

prepare((choices) => start(choices).catch((error) => stop(error)));
prepareControls(() => media);
$('leave').addEventListener('click', () => stop());
showStatistics($('statistics').tBodies[0], () => ({ out: broadcaster?.connections }));
