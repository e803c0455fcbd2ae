package worker

const sysSetns = 308
