#include "data/sentencepiece.h"

#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>

#include <cstring>
#include <exception>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

namespace sp = sentencepiece;

struct qn_spm {
    sp::SentencePieceProcessor processor;
    std::string model;
};

namespace {

/* The caller's sentences as SentencePiece iterates over them. */
class Sentences : public sp::SentenceIterator {
  public:
    Sentences(qn_spm_next next, void *context) : next_(next), context_(context) { Next(); }
    bool done() const override { return done_; }
    const std::string &value() const override { return value_; }
    sp::util::Status status() const override { return {}; }
    void Next() override {
        const char *text;
        size_t length;
        done_ = !next_(context_, &text, &length);
        if (!done_) value_.assign(text, length);
    }

  private:
    qn_spm_next next_;
    void *context_;
    std::string value_;
    bool done_ = false;
};

/* SentencePiece's message without the source position and condition it puts first. */
qn_status failed(const char *what, const sp::util::Status &status) {
    const char *message = status.message();
    const char *condition_end = std::strstr(message, "] ");
    if (condition_end && condition_end[2]) message = condition_end + 2;
    return qn_error(QN_CODE_INVALID, "%s: %s", what, message);
}

template <typename Body> qn_status guarded(const char *what, Body body) {
    try {
        return body();
    } catch (const std::bad_alloc &) {
        return qn_error(QN_CODE_MEMORY, "%s: out of memory", what);
    } catch (const std::exception &e) {
        return qn_error(QN_CODE_INVALID, "%s: %s", what, e.what());
    }
}

std::unordered_map<std::string, std::string> training_flags(int vocab_size, int n_threads) {
    return {
        {"model_type", "bpe"},
        {"vocab_size", std::to_string(vocab_size)},
        {"hard_vocab_limit", "false"},
        {"byte_fallback", "true"},
        {"character_coverage", "1.0"},
        {"normalization_rule_name", "identity"},
        {"remove_extra_whitespaces", "false"},
        {"add_dummy_prefix", "false"},
        {"split_digits", "true"},
        {"user_defined_symbols", "\n"},
        {"eos_id", "-1"},
        {"max_sentence_length", "1073741824"},
        {"num_threads", std::to_string(n_threads)},
        {"minloglevel", "2"},
    };
}

} // namespace

qn_status qn_spm_load(const void *model, size_t length, qn_spm **out) {
    return guarded("sentencepiece", [&]() -> qn_status {
        auto spm = std::make_unique<qn_spm>();
        spm->model.assign(static_cast<const char *>(model), length);
        sp::util::Status status = spm->processor.LoadFromSerializedProto(spm->model);
        if (!status.ok()) return failed("sentencepiece", status);
        *out = spm.release();
        return QN_OK;
    });
}

qn_status qn_spm_train(qn_spm_next next, void *context, int vocab_size, int n_threads,
                       qn_spm **out) {
    return guarded("sentencepiece", [&]() -> qn_status {
        Sentences sentences(next, context);
        std::string model;
        sp::util::Status status = sp::SentencePieceTrainer::Train(
            training_flags(vocab_size, n_threads), &sentences, &model);
        if (!status.ok()) return failed("sentencepiece", status);
        return qn_spm_load(model.data(), model.size(), out);
    });
}

void qn_spm_free(qn_spm *spm) { delete spm; }

const void *qn_spm_model(const qn_spm *spm, size_t *length) {
    *length = spm->model.size();
    return spm->model.data();
}

int qn_spm_size(const qn_spm *spm) { return spm->processor.GetPieceSize(); }

qn_spm_piece qn_spm_at(const qn_spm *spm, int id) {
    const sp::SentencePieceProcessor &p = spm->processor;
    const std::string &text = p.IdToPiece(id);
    qn_spm_piece piece = {text.data(), text.size(), p.GetScore(id), QN_SPM_NORMAL};
    if (p.IsUnknown(id)) piece.kind = QN_SPM_UNKNOWN;
    if (p.IsControl(id)) piece.kind = QN_SPM_CONTROL;
    if (p.IsUnused(id)) piece.kind = QN_SPM_UNUSED;
    if (p.IsByte(id)) piece.kind = QN_SPM_BYTE;
    if (text == "\n") piece.kind = QN_SPM_USER_DEFINED;
    return piece;
}

int qn_spm_find(const qn_spm *spm, const char *text, size_t length) {
    int id = spm->processor.PieceToId({text, length});
    if (id < 0) return -1;
    qn_spm_piece piece = qn_spm_at(spm, id);
    bool same = piece.length == length && std::memcmp(piece.text, text, length) == 0;
    return same && piece.kind == QN_SPM_NORMAL ? id : -1;
}

qn_status qn_spm_encode(const qn_spm *spm, const char *text, size_t length, qn_ids *ids) {
    return guarded("sentencepiece", [&]() -> qn_status {
        std::vector<int> found;
        sp::util::Status status = spm->processor.Encode({text, length}, &found);
        if (!status.ok()) return failed("sentencepiece", status);
        QN_TRY(qn_ids_reserve(ids, found.size()));
        for (int id : found) ids->data[ids->count++] = id;
        return QN_OK;
    });
}
