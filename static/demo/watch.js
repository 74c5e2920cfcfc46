// Watch whoever broadcasts in the channel.

import { Viewer, connect } from './client.js';
import { $, fail, hideTile, list, prepare, say, showCall, showTile, states } from './page.js';
import { showStatistics } from './statistics.js';

let socket, viewer, subscribe;

function start({ channel, name, token, relay }) {
    say('Connecting…');
    subscribe = () => socket.emit('subscribe', name, channel);
    const joined = () => {
        subscribe();
        say(`Waiting for somebody to go live in ${channel}.`);
    };
    socket = connect({ token }, { joined, ended: stop, say });
    viewer = new Viewer(socket, {
        relay,
        show: (sender, stream) => {
            showTile(sender, stream);
            say(`Connecting to ${sender}…`);
        },
        hide: (sender) => {
            hideTile(sender);
            say(`${sender} stopped.`);
        },
        lost: () => {
            viewer.leave(channel);
            say('The call broke: calling again.');
            setTimeout(() => subscribe(), 5000); // the server passes it on no sooner
        },
        changed: showBroadcaster,
        failed: fail,
    });
    socket.on('subscribeError', ({ message }) => stop(message));
    showBroadcaster();
    showCall(true);
}

function stop(reason) {
    socket?.disconnect();
    viewer?.close();
    socket = viewer = undefined;
    subscribe = () => {};
    showCall(false);
    reason ? fail(reason) : say('Stopped.');
}

function showBroadcaster() {
    const senders = states(viewer?.connections ?? []);
    const connected = senders.find(([, state]) => state === 'connected');
    list($('peers'), senders, 'Nobody is live.');
    if (connected) say(`Watching ${connected[0]}.`, 'ok');
}

prepare(start);
$('leave').addEventListener('click', () => stop());
$('again').addEventListener('click', () => subscribe());
showStatistics($('statistics').tBodies[0], () => ({ in: viewer?.connections }));
