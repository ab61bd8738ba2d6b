"""The fields of protobuf messages, in pure Python; what they mean is not known here."""
