// Buttons and lists for a `Media`: which camera and microphone, mute, share the screen.

import { $, element, fail } from './page.js';

const INPUTS = { video: 'camera', audio: 'microphone' };

/** Let the page's controls act on what `media()` returns at the time. */
export function prepareControls(media) {
    for (const [kind, id] of Object.entries(INPUTS)) {
        $(id).addEventListener('change', () => media().choose(kind, $(id).value).catch(fail));
        toggle($(`mute-${kind}`), (pressed) => media().mute(kind, pressed));
    }
    $('screen').hidden = !navigator.mediaDevices?.getDisplayMedia; // phones have none
    $('screen').addEventListener('click', () => {
        (media().sharing ? media().unshare() : media().share()).catch(fail);
    });
    navigator.mediaDevices?.addEventListener('devicechange', () => showMedia(media()));
}

/** Show what is there to choose from, and what is in use; names are known once access was allowed. */
export async function showMedia(media) {
    if (!media) return;
    $('screen').ariaPressed = String(media.sharing);
    const devices = await navigator.mediaDevices.enumerateDevices();
    for (const [kind, id] of Object.entries(INPUTS)) {
        const inputs = devices.filter((device) => device.kind === `${kind}input`);
        $(id).replaceChildren(...inputs.map((device, index) => option(device, index, id)));
        $(id).disabled = inputs.length === 0;
        if (!(kind === 'video' && media.sharing)) $(id).value = media.device(kind) ?? '';
    }
}

export function resetControls() {
    for (const button of document.querySelectorAll('[aria-pressed]')) button.ariaPressed = 'false';
}

function option({ deviceId, label }, index, id) {
    return element('option', label || `${id} ${index + 1}`, { value: deviceId });
}

function toggle(button, act) {
    button.addEventListener('click', () => {
        const pressed = button.ariaPressed !== 'true';
        button.ariaPressed = String(pressed);
        act(pressed);
    });
}
