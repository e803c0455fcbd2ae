// An assembly file, be it empty, lets this package declare functions without a body.
