package nodeinit

const (
	sysSeccomp         = 317
	sysExecveat        = 322
	sysSetns           = 308
	sysProcessVMWritev = 311

	elfMachine = 62 // e_machine of its programs
)
