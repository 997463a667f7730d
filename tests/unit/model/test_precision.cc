// test_precision.cc: from the precision that is asked for and what a backend stores to the
// dtypes of a plan.
#include <cstring>

#include "harness/small_model.h"

namespace {

// A backend that only says what it stores.
class Stores : public qn_backend {
  public:
    explicit Stores(std::vector<qn_dtype> dtypes) : dtypes(std::move(dtypes)) {
        table.device_info = [](qn_backend *b, qn_device_info *info) {
            const auto &list = static_cast<Stores *>(b)->dtypes;
            memset(info, 0, sizeof *info);
            strcpy(info->name, "a device");
            info->n_storage = (int)list.size();
            for (size_t i = 0; i < list.size() && i < QN_MAX_STORAGE; i++)
                info->storage[i] = list[i];
            return QN_OK;
        };
        ops = &table;
    }

  private:
    std::vector<qn_dtype> dtypes;
    qn_ops table = {};
};

struct Dtypes {
    qn_dtype compute, storage;
    bool operator==(const Dtypes &o) const { return compute == o.compute && storage == o.storage; }
};

Dtypes set(Stores backend, qn_precision precision) {
    qn_plan_options o = small_options(1, 8);
    o.compute = o.storage = QN_I32;
    EXPECT_OK(qn_plan_set_precision(&backend, precision, &o));
    EXPECT_EQ(o.seq_len, 8);
    return {o.compute, o.storage};
}

TEST(Precision, IsStoredWhereTheBackendStoresIt) {
    EXPECT_EQ(set(Stores({QN_F32}), QN_PRECISION_FP32), (Dtypes{QN_F32, QN_F32}));
    EXPECT_EQ(set(Stores({QN_BF16}), QN_PRECISION_BF16), (Dtypes{QN_BF16, QN_BF16}));
    EXPECT_EQ(set(Stores({QN_BF16, QN_F32}), QN_PRECISION_FP32), (Dtypes{QN_F32, QN_F32}));
    EXPECT_EQ(set(Stores({QN_F32, QN_BF16}), QN_PRECISION_BF16), (Dtypes{QN_BF16, QN_BF16}));
}

TEST(Precision, IsThatOfProductsWhereTheBackendStoresFp32) {
    EXPECT_EQ(set(Stores({QN_F32}), QN_PRECISION_BF16), (Dtypes{QN_BF16, QN_F32}));
}

TEST(Precision, ThatCannotBeNamesWhatCan) {
    Stores bf16({QN_BF16}), half({QN_F16, QN_BF16}), none({}),
        many(std::vector<qn_dtype>(5, QN_F32));
    qn_plan_options o = small_options(1, 8);
    EXPECT_ERROR(qn_plan_set_precision(&bf16, QN_PRECISION_FP32, &o), QN_CODE_USAGE,
                 "precision fp32", "a device stores bf16");
    EXPECT_ERROR(qn_plan_set_precision(&half, QN_PRECISION_FP32, &o), QN_CODE_USAGE, "fp16, bf16");
    EXPECT_ERROR(qn_plan_set_precision(&bf16, QN_N_PRECISIONS, &o), QN_CODE_USAGE, "precision 3");
    EXPECT_ERROR(qn_plan_set_precision(&bf16, (qn_precision)-1, &o), QN_CODE_USAGE, "precision -1");
    EXPECT_ERROR(qn_plan_set_precision(&none, QN_PRECISION_FP32, &o), QN_CODE_INVALID,
                 "0 storage dtypes");
    EXPECT_ERROR(qn_plan_set_precision(&many, QN_PRECISION_FP32, &o), QN_CODE_INVALID,
                 "5 storage dtypes");
    EXPECT_EQ(o.compute, QN_F32);
    EXPECT_EQ(o.storage, QN_F32);
}

TEST(Precision, AutoIsFp32WhereTheBackendStoresIt) {
    EXPECT_EQ(set(Stores({QN_F32}), QN_PRECISION_AUTO), (Dtypes{QN_F32, QN_F32}));
    EXPECT_EQ(set(Stores({QN_BF16, QN_F32}), QN_PRECISION_AUTO), (Dtypes{QN_F32, QN_F32}));
    EXPECT_EQ(set(Stores({QN_BF16}), QN_PRECISION_AUTO), (Dtypes{QN_BF16, QN_BF16}));
}

} // namespace
