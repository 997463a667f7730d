// tiny_run.h: training runs that take milliseconds.
#ifndef QUERN_TESTS_TINY_RUN_H
#define QUERN_TESTS_TINY_RUN_H

#include <algorithm>
#include <cstring>
#include <functional>
#include <random>
#include <sstream>

#include "harness/status.h"
#include "harness/temp_dir.h"
#include "quern/train.h"

// A folder with data of 64 tokens, documents among them, a model config, and options to
// train that model for six steps.
class TinyRun : public testing::Test {
  protected:
    enum { kVocab = 64, kSteps = 6 };

    void SetUp() override {
        std::filesystem::create_directory(dir / "data");
        write_data(200);
        dir.write("config.json", R"({"architectures": ["Qwen3ForCausalLM"], "vocab_size": 64,
                      "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
                      "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8,
                      "initializer_range": 0.07, "embedding_initializer_range": 0.1, "tie_word_embeddings": true,
                      "eos_token_id": 0})");
        qn_options_default(&options);
        set("data", dir / "data");
        set("model", dir / "config.json");
        set("batch-size", "2");
        set("seq-len", "16");
        set("grad-accum", "2");
        set("steps", std::to_string(kSteps));
        set("warmup", "2");
        set("eval-every", "3");
        set("eval-tokens", "64");
        set("save-every", "0");
        set("threads", "1");
        in("run");
    }

    // 2000 tokens to train on, and so many held out.
    void write_data(int held_out) {
        dir.write("data/train_000000.bin", shard(2000, 1));
        dir.write("data/val_000000.bin", shard(held_out, 2));
        dir.write("data/data.json",
                  R"({"format": 1, "vocab_size": 64, "boundary_id": 0,
                      "train": {"tokens": 2000, "bytes": 4000, "documents": 50},
                      "val": {"tokens": )" +
                      std::to_string(held_out) + R"(, "bytes": )" + std::to_string(2 * held_out) +
                      R"(, "documents": 5}})");
    }

    // A shard in llm.c's layout: mostly a walk that can be learnt.
    static std::string shard(int count, uint32_t seed) {
        std::vector<int32_t> header(256, 0);
        header[0] = 20240520;
        header[1] = 1;
        header[2] = count;
        std::string bytes((const char *)header.data(), 1024);
        std::mt19937 random(seed);
        uint16_t token = 0;
        for (int i = 0; i < count; i++) {
            bytes.append((const char *)&token, sizeof token);
            token = random() % 8 ? (5 * token + 3) % kVocab : random() % kVocab;
        }
        return bytes;
    }

    void set(const std::string &name, const std::string &text) {
        EXPECT_OK(qn_option_set(&options, qn_option_find(name.c_str()), text.c_str(), "test"));
    }
    // Runs go into this folder from now on.
    void in(const std::string &name) {
        run = dir / name;
        set("run", run);
    }

    // Trains; stops after `stop_at` steps if that is not 0.
    qn_status train(bool resume = false, int64_t stop_at = 0) {
        stop_at_ = stop_at;
        reports.clear();
        notes.clear();
        const qn_train_hooks hooks = {this, should_stop, on_step, on_note};
        return qn_train(&options, resume, &hooks, &result);
    }
    qn_status resume(int64_t stop_at = 0) { return train(true, stop_at); }

    std::vector<std::string> log() const {
        std::istringstream text(TempDir::read(run + "/log.jsonl"));
        std::vector<std::string> lines;
        for (std::string line; std::getline(text, line);) lines.push_back(line);
        return lines;
    }
    // The lines of the steps, without their times: what every repetition must give.
    std::vector<std::string> losses() const {
        std::vector<std::string> lines;
        for (const std::string &line : log()) {
            if (line.find("\"loss\"") != std::string::npos)
                lines.push_back(line.substr(0, line.find(",\"tokens_per_s\"")));
        }
        return lines;
    }
    std::string checkpoint(int64_t step) const {
        return run + "/checkpoints/step-" + std::to_string(step);
    }
    // Names in the run's folder of checkpoints.
    std::vector<std::string> checkpoints() const {
        std::vector<std::string> names;
        for (const auto &entry : std::filesystem::directory_iterator(run + "/checkpoints"))
            names.push_back(entry.path().filename());
        std::sort(names.begin(), names.end());
        return names;
    }

    TempDir dir;
    std::string run;
    qn_train_options options;
    qn_train_result result;
    std::vector<qn_step_report> reports;
    std::string notes;
    std::function<void()> after_step; // optional

  private:
    static TinyRun *self(void *context) { return (TinyRun *)context; }
    static bool should_stop(void *context) {
        TinyRun *r = self(context);
        return r->stop_at_ && r->log_has_step(r->stop_at_);
    }
    static void on_step(void *context, const qn_step_report *report) {
        self(context)->reports.push_back(*report);
        if (self(context)->after_step) self(context)->after_step();
    }
    static void on_note(void *context, const char *message) {
        self(context)->notes += std::string(message) + "\n";
    }
    bool log_has_step(int64_t step) const {
        const std::string wanted = "{\"step\":" + std::to_string(step) + ",";
        return TempDir::read(run + "/log.jsonl").find(wanted) != std::string::npos;
    }
    int64_t stop_at_ = 0;
};

#endif
