package model

import (
	"encoding/json/jsontext"
	"encoding/json/v2"
	"errors"
	"fmt"
)

// maxEndTokens is the limit of a model's end tokens.
const maxEndTokens = 1024

// TokenIDs are the token ids of a JSON member that is one id, a list of them or null, as transformers writes
// eos_token_id.
type TokenIDs []uint32 //nolint:recvcheck // a nil one is encoded too

// UnmarshalJSONFrom implements json.UnmarshalerFrom.
func (ids *TokenIDs) UnmarshalJSONFrom(dec *jsontext.Decoder) error {
	kind := dec.PeekKind()
	if kind == jsontext.KindNull {
		*ids = nil
		return dec.SkipValue()
	}
	if kind == jsontext.KindNumber {
		var id uint32
		if err := json.UnmarshalDecode(dec, &id); err != nil {
			return err
		}
		*ids = TokenIDs{id}
		return nil
	}
	if kind != jsontext.KindBeginArray {
		return errors.New("neither a token id nor a list of them")
	}
	var list []uint32
	if err := json.UnmarshalDecode(dec, &list); err != nil {
		return err
	}
	if len(list) > maxEndTokens {
		return fmt.Errorf("%d token ids are over the limit of %d", len(list), maxEndTokens)
	}
	*ids = list
	return nil
}

// MarshalJSONTo implements json.MarshalerTo: one id is a number, more are a list.
func (ids TokenIDs) MarshalJSONTo(enc *jsontext.Encoder) error {
	if len(ids) == 1 {
		return json.MarshalEncode(enc, ids[0])
	}
	return json.MarshalEncode(enc, []uint32(ids))
}
