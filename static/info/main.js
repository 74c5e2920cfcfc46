// The page at /: keeps what the server says of itself up to date, and runs the browser's own test.
import { watchServer } from './live.js';
import { prepareTest } from './browser-test.js';

watchServer();
prepareTest();
