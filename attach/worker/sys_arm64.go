package worker

const sysSetns = 268
