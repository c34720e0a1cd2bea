package modem

// sessionCommands are the three that belong together.
var sessionCommands = []string{"+CCHO", "+CGLA", "+CCHC"}

// personalities are named by what they do, because firmwares of one brand differ. Sources
// are clauses, or threads on GitHub as owner/repository#number; "seen" means that somebody
// shows it on a real modem.
var personalities = []Personality{
	{
		Name: "default", Text: "as the specification has it",
		Source: "3GPP TS 27.007, ITU-T V.250",
	},
	{
		Name: "echo", Text: "sends back what comes until ATE0, and reports errors by number",
		Source: "ITU-T V.250, 6.2.4: echo is on at power-up; seen: u-blox/ubxlib#287",
		Echo:   true, Errors: errorsNumeric,
	},
	{
		Name: "bare-handle", Text: "AT+CCHO answers the session's number alone on its line",
		Source: "seen on a Fibocom FM350-GL: estkme-group/lpac#179, #445",
		Maker:  "Fibocom Wireless Inc.", Model: "FM350-GL",
		BareHandle: true, Errors: errorsNumeric,
	},
	{
		Name: "offset-handle", Text: "a session's handle is not its channel: 7 for channel 1",
		Source:       "3GPP TS 27.007, 8.45: the handle means nothing to the card; estkme-group/lpac#138",
		HandleOffset: 6, AnnounceClose: true, Errors: errorsNumeric,
	},
	{
		Name: "hex-handle", Text: "a session's handle is sixteen hexadecimal digits",
		Source: "seen on Sierra MC7455 and EM7590: estkme-group/lpac#138, #139",
		Maker:  "Sierra Wireless, Incorporated", Model: "MC7455",
		HandleOffset: 0x385a7ce, HandleFormat: "%016x", LacksTest: []string{"+CGLA"}, Errors: errorsNumeric,
	},
	{
		Name: "no-sessions", Text: "knows no AT+CCHO, AT+CGLA, AT+CCHC",
		Source: "seen on DW5821e and Alcatel IK41: estkme-group/lpac#164",
		Lacks:  sessionCommands, Errors: errorsNumeric,
	},
	{
		Name: "no-csim", Text: "knows no AT+CSIM, only sessions",
		Source: "3GPP TS 27.007, 8.17: the command is optional",
		Lacks:  []string{"+CSIM"}, Errors: errorsNumeric,
	},
	{
		Name: "no-test-forms", Text: "knows the session commands, but not with =?",
		Source:    "seen on Fibocom FG132-GL and Quectel EM05-G: estkme-group/lpac#300",
		LacksTest: sessionCommands, Errors: errorsNumeric,
	},
	{
		Name: "csim-basic-channel", Text: "AT+CSIM opens channels, but refuses any other command for them",
		Source:           "seen on a Quectel EG25: estkme-group/lpac#164",
		BasicChannelOnly: true, Errors: errorsNumeric,
	},
	{
		Name: "loses-select", Text: "now and then +CME ERROR: 0 to SELECT: the first one, then every third",
		Source: "seen on a Quectel EG95: atsign-foundation/at_client_sdk#1568, at_libraries#395",
		Maker:  "Quectel", Model: "EG95",
		LosesSelect: 3, Errors: errorsNumeric,
	},
	{
		Name: "no-profile", Text: "refuses all that concerns the SIM with +CME ERROR: 13: no enabled profile",
		Source:    "3GPP TS 27.007, 9.2.1: SIM failure; seen for AT+CCHO: commaai/openpilot#37979",
		NoProfile: true, Errors: errorsNumeric,
	},
	{
		Name: "busy", Text: "refuses the first five SIM commands after a start with +CME ERROR: 14",
		Source:       "seen: faucamp/python-gsmmodem#11, u-blox/ubxlib#287",
		BusyCommands: 5, Errors: errorsNumeric,
	},
	{
		Name: "unsolicited", Text: "sends lines that nobody asked for in the middle of its answers",
		Source:      "ITU-T V.250, 5.7: result codes may come at any time; FactbirdHQ/atat, faucamp/python-gsmmodem#13",
		Unsolicited: []string{"+CREG: 5", "+CTZV: 4", `+CIEV: 2,3`, "RING", `+CUSD: 0,"9000",15`}, Errors: errorsNumeric,
	},
	{
		Name: "no-quotes", Text: "no quotes around what the card answered",
		Source:   "the clients of Thales take answers with and without: both occur",
		NoQuotes: true, Errors: errorsNumeric,
	},
	{
		Name: "cuts-answers", Text: "answers of the card end after 50 bytes, though their length is told in full",
		Source:      "a Sequans modem, for which Orange's library reads files in blocks of 50",
		Maker:       "Sequans",
		AnswerLimit: 52, Errors: errorsNumeric,
	},
	{
		Name: "cuts-answers-unseen", Text: "answers of the card end after 50 bytes, and their length says so",
		Source:      "as cuts-answers, where the report leaves open which length was told",
		Maker:       "Sequans",
		AnswerLimit: 52, CutUnseen: true, Errors: errorsNumeric,
	},
	{
		Name: "gets-response", Text: "follows 61xx and 6Cxx itself: the host sees the whole answer",
		Source:       "3GPP TS 27.007, 8.17 leaves open who does; modems differ",
		GetsResponse: true, Errors: errorsNumeric,
	},
	{
		Name: "drops-le", Text: "takes Le off commands with data, so that the card answers 61xx",
		Source:  "ISO/IEC 7816-3, 12.2.1: T=0 has no place for it",
		DropsLe: true, Errors: errorsNumeric,
	},
	{
		Name: "terse", Text: "OK alone to 24, 2A, 2C without data; ERROR to Le with data, to MANAGE CHANNEL, and when the card refuses",
		Source: "m33mu, the simulator that wolfSSL is tested with",
		Model:  "m33mu", Lacks: sessionCommands,
		OKAlone: []byte{0x24, 0x2A, 0x2C}, HidesRefusals: true, RefusesLe: true, RefusesCommands: []byte{0x70},
	},
	{
		Name: "9600", Text: "echo, and a line of 9600 bit/s: ten bits a byte, both ways",
		Source: "ITU-T V.250, 4.3: a rate that every modem takes",
		Baud:   9600, Echo: true, Errors: errorsNumeric,
	},
	{
		Name: "115200", Text: "echo, and a line of 115200 bit/s",
		Source: "what makers of modules set at delivery",
		Baud:   115200, Echo: true, Errors: errorsNumeric,
	},
}
