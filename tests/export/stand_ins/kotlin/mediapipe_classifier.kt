// Of MediaPipe: answers what answer.txt has, likeliest first, with the labels of the folder.
package com.google.mediapipe.tasks.vision.imageclassifier

import android.content.Context
import com.google.mediapipe.framework.image.MPImage
import com.google.mediapipe.tasks.core.BaseOptions
import java.io.File

class Category(private val name: String, private val score: Float) {
    fun categoryName() = name

    fun score() = score
}

class Classifications(private val found: List<Category>) {
    fun categories() = found
}

class ClassificationResult(private val heads: List<Classifications>) {
    fun classifications() = heads
}

class ImageClassifierResult(private val result: ClassificationResult) {
    fun classificationResult() = result
}

class ImageClassifier private constructor(private val folder: File, private val most: Int) : AutoCloseable {
    class ImageClassifierOptions private constructor(val base: BaseOptions, val most: Int) {
        class Builder {
            private var base: BaseOptions? = null
            private var most = -1

            fun setBaseOptions(value: BaseOptions) = apply { base = value }

            fun setMaxResults(value: Int) = apply { most = value }

            fun build() = ImageClassifierOptions(base!!, most)
        }

        companion object {
            @JvmStatic
            fun builder() = Builder()
        }
    }

    fun classify(image: MPImage): ImageClassifierResult {
        val scores = File(folder, "answer.txt").readLines().map { it.toFloat() }
        val found = File(folder, "labels.txt").readLines().zip(scores) { label, score -> Category(label, score) }
        val best = found.sortedByDescending { it.score() }.take(most)
        return ImageClassifierResult(ClassificationResult(listOf(Classifications(best))))
    }

    override fun close() {}

    companion object {
        @JvmStatic
        fun createFromOptions(context: Context, options: ImageClassifierOptions): ImageClassifier {
            check(File(context.assets.folder, options.base.modelAssetPath).isFile)
            return ImageClassifier(context.assets.folder, options.most)
        }
    }
}
