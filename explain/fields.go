package explain

// Values of the applet's masks and choices (IoT SAFE 2.2).
var (
	functions = maskOf(words{1: "signature", 2: "key generation", 4: "key agreement", 8: "key derivation", 0x80: "encryption"})
	hashes    = maskOf(words{1: "SHA-256", 2: "SHA-384", 4: "SHA-512"})
	signers   = maskOf(words{1: "RSA PKCS#1 v1.5", 2: "RSA-PSS", 4: "ECDSA", 8: "AES-CMAC"})
	agreement = maskOf(words{1: "ECDH (ECKA)"})
	deriving  = maskOf(words{1: "PRF of TLS 1.2 with SHA-256", 2: "HKDF"})
	access    = maskOf(words{1: "read", 2: "update"})
	state     = oneOf(words{0: "deactivated", 1: "activated"})
	mode      = oneOf(words{1: "full text", 2: "last block", 3: "pad and sign: the digest is given"})
	keyType   = oneOf(words{
		0x03: "RSA-2048", 0x13: "P-256, persistent", 0x14: "P-256, volatile",
		0x23: "brainpoolP256r1, persistent", 0x24: "brainpoolP256r1, volatile", 0x43: "elliptic curve (Thales)",
		0xA0: "secret for HMAC", 0xB0: "secret for AES-CMAC (Thales)", 0xF1: "secret for AES-128", 0xF2: "secret for AES-256",
	})
	ciphers   = maskOf(words{1: "AES-GCM", 2: "AES-CCM", 4: "RSA-OAEP"})
	keyUsage  = oneOf(words{1: "general", 2: "CertificateVerify of TLS 1.2", 3: "CertificateVerify of TLS 1.3"})
	fileUsage = oneOf(words{1: "general", 2: "X.509 certificate"})
)

// nameFields name an object, by identifier or by label.
var nameFields = dictionary{
	0x83: {name: "file identifier", value: identifier},
	0x84: {name: "private key identifier", value: identifier},
	0x85: {name: "public key identifier", value: identifier},
	0x86: {name: "secret identifier", value: identifier},
	0x73: {name: "file label", value: label},
	0x74: {name: "private key label", value: label},
	0x75: {name: "public key label", value: label},
	0x76: {name: "secret label", value: label},
}

// publicKeyField is public key data (IoT SAFE 3.12).
var publicKeyField = field{name: "public key data", fields: dictionary{
	0x49: {name: "public key template", fields: dictionary{
		0x86: {name: "point", value: point},
		0x81: {name: "RSA modulus", value: anything},
		0x82: {name: "RSA exponent", value: anything},
	}},
	0x81: {name: "RSA modulus", value: anything},
	0x82: {name: "RSA exponent", value: anything},
	0x86: {name: "point", value: point},
}}

var signatureField = field{name: "signature", value: signature}

// operationFields are what cryptographic commands carry.
var operationFields = merged(nameFields, dictionary{
	0x33: signatureField,
	0x34: publicKeyField,
	0x91: {name: "hash algorithm", value: hashes},
	0x92: {name: "signature algorithm", value: signers},
	0x9A: {name: "last block to hash", value: anything},
	0x9B: {name: "text to sign", value: anything},
	0x9C: {name: "hash so far", value: hashState},
	0x9D: {name: "bytes hashed before", value: amount("bytes")},
	0x9E: {name: "digest", value: digest},
	0x9F: {name: "text for CMAC", value: anything},
	0xA1: {name: "operation mode", value: mode},
	0xA3: {name: "cipher", value: ciphers},
	0xD1: {name: "secret", secret: true},
	0xD2: {name: "label and seed", form: labelAndSeed},
	0xD3: {name: "bytes wanted", value: amount("bytes")},
	0xD4: {name: "other secret (of ECDH)", secret: true},
	0xD5: {name: "salt", secret: true},
	0xD6: {name: "additional data, or label", value: anything},
})

// attributeFields describe one object of the store (IoT SAFE 2.2).
var attributeFields = merged(nameFields, dictionary{
	0x20: {name: "file size", value: amount("bytes")},
	0x21: {name: "file usage", value: fileUsage},
	0x4A: {name: "state", value: state},
	0x4B: {name: "key type", value: keyType},
	0x4E: {name: "key usage", value: keyUsage},
	0x60: {name: "access", value: access},
	0x61: {name: "functions", value: functions},
	0x6F: {name: "key agreement", value: agreement},
	0x91: {name: "hash algorithms", value: hashes},
	0x92: {name: "signature algorithms", value: signers},
	0x94: {name: "key derivation", value: deriving},
})

// objectFields are a list of objects.
var objectFields = dictionary{
	0xC1: {name: "private key", fields: attributeFields},
	0xC2: {name: "public key", fields: attributeFields},
	0xC3: {name: "file", fields: attributeFields},
	0xC4: {name: "secret", fields: attributeFields},
}

// oneObjectFields describe one object, with or without the wrapper that some applets leave
// out.
var oneObjectFields = merged(attributeFields, objectFields)

// applicationFields are what the applet says of itself (IoT SAFE 3.3).
var applicationFields = dictionary{
	0x10: {name: "version", value: amount("")},
	0x11: {name: "proprietary identifier", value: anything},
	0x90: {name: "functions", value: functions},
	0x91: {name: "hash algorithms", value: hashes},
	0x92: {name: "signature algorithms", value: signers},
	0x93: {name: "key agreement", value: agreement},
	0x94: {name: "key derivation", value: deriving},
	0xB1: {name: "room for files", value: amount("files")},
	0xB2: {name: "room for private keys", value: amount("private keys")},
	0xB3: {name: "room for public keys", value: amount("public keys")},
	0xB4: {name: "room for secrets", value: amount("secrets")},
	0xB7: {name: "room for sessions", value: amount("sessions")},
}

// serviceFields tell what the applet offers beyond the interface (docs/applet.md).
var serviceFields = dictionary{
	0x10: {name: "version", value: amount("")},
	0x91: {name: "hash algorithms", value: hashes},
	0xA3: {name: "ciphers", value: ciphers},
	0xB8: {name: "most text at once", value: amount("bytes")},
}

// answerFields are what answers consist of that explain themselves.
var answerFields = merged(nameFields, objectFields, dictionary{0x33: signatureField, 0x34: publicKeyField})

// persoFields are simroot's personalisation language in the direction to the card (package
// perso).
var persoFields = dictionary{
	0xE1: {name: "CREATE an object", ber: true, fields: objectFields},
	0xE2: {name: "DELETE an object", ber: true, fields: nameFields},
	0xE3: {name: "WRITE into a file", form: persoWrite},
	0xE4: {name: "PUT SECRET", ber: true, fields: merged(nameFields, dictionary{
		0x87: {name: "secret, enciphered", value: anything},
		0x88: {name: "check value", value: anything},
	})},
	0xE5: {name: "GENERATE a key pair", ber: true, fields: merged(nameFields, challengeField)},
	0xE6: {name: "PROVE possession", ber: true, fields: merged(nameFields, challengeField)},
	0xE7: {name: "ACTIVATE", ber: true, fields: nameFields},
	0xE8: {name: "DEACTIVATE", ber: true, fields: nameFields},
	0xE9: {name: "READ STATE", ber: true, fields: merged(nameFields, dictionary{
		0x80: {name: "from object number", value: amount("")},
	})},
}

// storeFields are all that STORE DATA carries as BER-TLV.
var storeFields = merged(domainFields, persoFields)

var challengeField = dictionary{0x89: {name: "challenge", value: anything}}

// persoAnswerFields are the same language in the direction from the card.
var persoAnswerFields = dictionary{
	0xE5: {name: "key pair generated", ber: true, fields: merged(proofField, dictionary{0x34: publicKeyField})},
	0xE6: {name: "proof of possession", ber: true, fields: proofField},
	0xE9: {name: "state of the store", ber: true, fields: dictionary{
		0x80: {name: "objects in all", value: amount("objects")},
		0xC1: {name: "private key", ber: true, fields: stateFields},
		0xC2: {name: "public key", ber: true, fields: stateFields},
		0xC3: {name: "file", ber: true, fields: stateFields},
		0xC4: {name: "secret", ber: true, fields: stateFields},
	}},
}

var (
	proofField  = dictionary{0x8A: {name: "proof", value: anything}}
	stateFields = merged(nameFields, dictionary{
		0x4A: {name: "state", value: state},
		0x20: {name: "size of the content", value: amount("bytes")},
		0x8B: {name: "digest of the content", value: anything},
	})
)

// domainFields are what a security domain takes and tells (GPCS 2.3.1, 11.3 and 11.11).
var domainFields = dictionary{
	0x42:   {name: "issuer identification number", value: anything},
	0x45:   {name: "card image number", value: iccid},
	0x5F50: {name: "URL of the domain's manager", value: label},
	0x66:   {name: "card data", ber: true, fields: dictionary{0x73: {name: "card recognition data", ber: true, fields: recognitionFields}}},
	0x67:   {name: "card capabilities", value: anything},
	0x85:   {name: "HTTP administration parameters", value: anything},
	0xA5:   {name: "HTTP administration parameters", value: anything},
	0xC1:   {name: "sequence counter", value: amount("sessions begun")},
	0xE0:   {name: "keys", ber: true, fields: dictionary{0xC0: {name: "key", value: keyInformation}}},
	0x2F00: {name: "list of applications", value: anything},
	0x9F7F: {name: "production data (CPLC)", value: anything},
	0xFF21: {name: "resources", ber: true, fields: dictionary{
		0x81: {name: "applications", value: amount("")},
		0x82: {name: "free non-volatile memory", value: amount("bytes")},
		0x83: {name: "free volatile memory", value: amount("bytes")},
	}},
}

var recognitionFields = dictionary{
	0x06: {name: "GlobalPlatform", value: objectIdentifier},
	0x60: {name: "version", ber: true, fields: oidField},
	0x63: {name: "identification scheme", ber: true, fields: oidField},
	0x64: {name: "secure channel protocol", ber: true, fields: oidField},
	0x65: {name: "card configuration", value: anything},
	0x66: {name: "card and chip details", value: anything},
}

var oidField = dictionary{0x06: {name: "object identifier", value: objectIdentifier}}

// selectFields are the answers to SELECT (GPCS 2.3.1, 11.9; ETSI TS 102 221, 11.1.1.3).
var selectFields = dictionary{
	0x6F: {name: "file control information", ber: true, fields: dictionary{
		0x84: {name: "AID", value: aid},
		0xA5: {name: "proprietary data", ber: true, fields: dictionary{
			0x9F65: {name: "most command data", value: amount("bytes")},
			0x9F6E: {name: "production life cycle", value: anything},
			0x73:   {name: "card recognition data", ber: true, fields: recognitionFields},
		}},
	}},
	0x62: {name: "file control parameters", ber: true, fields: dictionary{
		0x80: {name: "size", value: amount("bytes")},
		0x81: {name: "size with structure", value: amount("bytes")},
		0x82: {name: "file descriptor", value: anything},
		0x83: {name: "file", value: fileIdentifier},
		0x84: {name: "AID", value: aid},
		0x88: {name: "short file identifier", value: anything},
		0x8A: {name: "life cycle", value: oneOf(words{1: "creation", 3: "initialisation", 4: "deactivated", 5: "activated", 7: "activated", 12: "terminated"})},
		0x8B: {name: "access rule", value: anything},
		0x8C: {name: "access rule, compact", value: anything},
		0xA5: {name: "proprietary data", value: anything},
		0xAB: {name: "access rule, expanded", value: anything},
		0xC6: {name: "PIN status", value: anything},
	}},
}

// statusFields are the answers to GET STATUS (GPCS 2.3.1, 11.4).
var statusFields = dictionary{
	0xE3: {name: "entry", ber: true, fields: dictionary{
		0x4F:   {name: "AID", value: aid},
		0x9F70: {name: "life cycle", value: lifeCycle},
		0xC5:   {name: "privileges", value: anything},
		0xC4:   {name: "load file", value: aid},
		0xCC:   {name: "security domain", value: aid},
		0xCE:   {name: "version", value: anything},
		0x84:   {name: "module", value: aid},
		0xCF:   {name: "implicit selection", value: anything},
	}},
}

// askFields select what GET STATUS tells and DELETE takes away.
var askFields = dictionary{
	0x4F: {name: "AID", value: anything}, // may be cut short, or empty for all
	0x5C: {name: "tags wanted", value: anything},
	0xD0: {name: "key identifier", value: anything},
	0xD2: {name: "key version", value: anything},
}

// installFields are install parameters (GPCS 2.3.1, 11.5.2.3.7).
var installFields = dictionary{
	0xC9: {name: "for the application", value: anything},
	0xEA: {name: "for the UICC", value: anything},
	0xCA: {name: "for the toolkit", value: anything},
	0xEF: {name: "for the system", ber: true, fields: dictionary{
		0xC6: {name: "room for code", value: amount("bytes")},
		0xC7: {name: "volatile memory", value: amount("bytes")},
		0xC8: {name: "non-volatile memory", value: amount("bytes")},
		0xCA: {name: "for the toolkit", value: anything},
	}},
}

// directoryFields are the records of EF.DIR (ETSI TS 102 221, 13.1).
var directoryFields = dictionary{
	0x61: {name: "application", ber: true, fields: dictionary{
		0x4F: {name: "AID", value: aid},
		0x50: {name: "label", value: label},
		0x73: {name: "discretionary data", value: anything},
	}},
}
